//! Remuxes or transcodes finished recordings into MP4 files with the index at the beginning.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use sfu::Rotation;
use signaling_core::message::TrackSource;
use signaling_core::{Entropy, LifeId, RoomId};

use crate::container::Container;
use crate::container::measure::picture_size;
use crate::ffmpeg::{Ffmpeg, FfmpegError, Shown, Tile};
use crate::index::{Entry, EntryState, Index, RecordingId, file_name};
use crate::upload::Upload;

/// The prefixes and the suffix of the files that ffmpeg is still writing.
const FINALISE: &str = ".finalise-";
const COMPOSITE: &str = ".composite-";
pub(crate) const PARTS: [&str; 2] = [FINALISE, COMPOSITE];
pub(crate) const PART: &str = ".part";
/// Maximum number of pictures in one grid.
const MAX_TILES: usize = 49;

/// Why a recording was not finalised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinaliseError {
    /// ffmpeg failed.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    /// A file could not be moved into place.
    #[error("a finished recording cannot be put in its place")]
    File(#[from] io::Error),
    /// No recording of the room is ready and local.
    #[error("nothing of that room is ready in the folder")]
    Nothing,
    /// The recording was deleted in the meantime.
    #[error("the recording is gone")]
    Gone,
}

/// Turns a recording into an MP4 with the index at the beginning. The original file is kept
/// until the new one is complete.
pub fn finalise(index: &Index, ffmpeg: &Ffmpeg, entry: &Entry) -> Result<Entry, FinaliseError> {
    let from = index.path(entry);
    let length = Duration::from_millis(entry.duration_ms);
    let mut done = Entry {
        finalised: true,
        finalise_error: None,
        upload_error: None,
        state: EntryState::Ready,
        ..entry.clone()
    };
    let part = tempfile::Builder::new().prefix(FINALISE).suffix(PART).tempfile_in(index.folder())?;
    match entry.container {
        Container::Mp4 => ffmpeg.faststart(&from, part.path(), length)?,
        Container::WebM => {
            let size = picture_size(&mut fs::File::open(&from)?)?;
            let shown = size.map(|size| Shown { size, rotation: Rotation::from_degrees(entry.rotation) });
            ffmpeg.to_mp4(&from, part.path(), length, shown)?;
            done.rotation = 0;
            done.container = Container::Mp4;
            done.file = Path::new(&entry.file).with_extension("mp4").to_string_lossy().into_owned();
            done.codecs = entry.codecs.iter().map(|codec| codec.replace("vp8", "h264")).collect();
        }
    }
    done.bytes = part.as_file().metadata()?.len();
    part.as_file().sync_all()?;
    part.persist(index.path(&done)).map_err(|error| error.error)?;
    let kept = index.change(entry.recording, |known| {
        // The object in storage has the contents of the old file.
        done.upload = known.upload.as_ref().map(|_| Upload::Waiting);
        known.clone_from(&done);
    })?;
    let Some(done) = kept else {
        fs::remove_file(index.path(&done))?;
        return Err(FinaliseError::Gone);
    };
    if let Some(upload) = &entry.upload {
        index.forget(&entry.file, upload)?;
    }
    if done.file != entry.file {
        fs::remove_file(from)?;
    }
    Ok(done)
}

/// Combines all recordings of one life of a room into one picture with mixed audio.
pub fn composite(
    index: &Index,
    ffmpeg: &Ffmpeg,
    room: &RoomId,
    life: LifeId,
    entropy: &mut dyn Entropy,
) -> Result<Entry, FinaliseError> {
    let mut parts: Vec<_> = index
        .all()
        .into_iter()
        .filter(|entry| entry.room == *room && entry.life == life && entry.peer.is_some())
        .filter(|entry| entry.state == EntryState::Ready && entry.local)
        .collect();
    parts.truncate(MAX_TILES);
    let began = parts.first().ok_or(FinaliseError::Nothing)?.started_at;
    let tiles: Vec<_> = parts
        .iter()
        .map(|entry| Tile {
            path: index.path(entry),
            offset: entry.started_at.since(began),
            rotation: match entry.container {
                Container::Mp4 => Rotation::Upright,
                Container::WebM => Rotation::from_degrees(entry.rotation),
            },
            video: entry.codecs.iter().any(|codec| codec != "opus"),
            audio: entry.codecs.iter().any(|codec| codec == "opus"),
        })
        .collect();
    let ends =
        parts.iter().map(|entry| entry.started_at.since(began) + Duration::from_millis(entry.duration_ms));
    let length = ends.max().unwrap_or_default();
    let recording = RecordingId::random(entropy);
    let part = tempfile::Builder::new().prefix(COMPOSITE).suffix(PART).tempfile_in(index.folder())?;
    ffmpeg.composite(&tiles, part.path(), length)?;
    let has = |wanted: fn(&Tile) -> bool, codec: &str| tiles.iter().any(wanted).then(|| codec.to_owned());
    let entry = Entry {
        recording,
        room: room.clone(),
        life,
        peer: None,
        name: None,
        source: TrackSource::Other,
        started_at: began,
        ended_at: Some(began + length),
        state: EntryState::Ready,
        container: Container::Mp4,
        rotation: 0,
        file: file_name(began, recording, Container::Mp4),
        bytes: part.as_file().metadata()?.len(),
        duration_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        codecs: [has(|tile| tile.video, "h264"), has(|tile| tile.audio, "aac")]
            .into_iter()
            .flatten()
            .collect(),
        captions: false,
        lost_packets: parts.iter().map(|entry| entry.lost_packets).sum(),
        dropped_packets: parts.iter().map(|entry| entry.dropped_packets).sum(),
        error: None,
        finalised: true,
        finalise_error: None,
        local: true,
        upload: None,
        upload_error: None,
    };
    part.as_file().sync_all()?;
    part.persist(index.path(&entry)).map_err(|error| error.error)?;
    index.save(&entry)?;
    Ok(entry)
}
