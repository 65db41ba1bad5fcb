//! The names of media files, which contain the start, the id and the container of a recording.

use signaling_core::Timestamp;

use super::RecordingId;
use crate::container::Container;

/// The format of the time in file names.
const TIME: &str = "%Y-%m-%d_%H-%M-%S";

/// `<date>_<time>_<id>.<container>`, in UTC.
pub(crate) fn file_name(at: Timestamp, recording: RecordingId, container: Container) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{}_{recording}.{}", at.strftime(TIME), container.extension())
}

/// A media file in the folder, with the data encoded in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) recording: RecordingId,
    pub(crate) started_at: Timestamp,
    pub(crate) container: Container,
    pub(crate) file: String,
}

impl Stray {
    /// Parses a name made by [`file_name`].
    pub(super) fn of(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let (time, recording) = stem.rsplit_once('_')?;
        let container =
            [Container::Mp4, Container::WebM].into_iter().find(|kind| kind.extension() == extension)?;
        let at = jiff::civil::DateTime::strptime(TIME, time).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        let millis = u64::try_from(at.timestamp().as_millisecond()).ok()?;
        let (recording, started_at) = (recording.parse().ok()?, Timestamp::from_millis(millis));
        Some(Self { recording, started_at, container, file: name.to_owned() })
    }
}

/// Whether this is a plain file name, not a path and not an option of a program.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.bytes().all(fits) && !name.starts_with(['-', '.']) && !name.is_empty()
}
