//! A file that is being written, and the placement of frames in it.

use std::time::Duration;

use sfu::Rotation;

use crate::container::{Container, ContainerError, Head, Lane, Sample, Writer};
use crate::depacketize::{Frame, SILENCE, SILENCE_TICKS, duration_ticks};
use crate::format::Format;

/// The largest deviation, in ticks, at which an audio packet still counts as contiguous with the previous one.
const SOUND_TOLERANCE: i64 = 480;
/// The duration of the last picture, in ticks, if nothing else determines it.
const LAST_PICTURE: u64 = 3_000;

/// Collects samples until a fragment is cut.
#[derive(Debug)]
pub(crate) struct File {
    container: Container,
    writer: Writer,
    head: Head,
    /// Whether the head differs from the one on disk.
    head_changed: bool,
    /// The start of the file on the recording's timeline, in microseconds.
    origin: i64,
    video: Vec<Sample>,
    audio: Vec<Sample>,
    /// The newest picture, whose duration is known only when the next one arrives.
    pending: Option<Sample>,
    /// The end of the audio; `None` before the first packet.
    audio_end: Option<u64>,
}

/// The data to write at a cut.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The fragment to append.
    pub(crate) fragment: Vec<u8>,
    /// The head to write over the beginning of the file after that.
    pub(crate) head: Vec<u8>,
}

impl File {
    pub(crate) fn new(container: Container, rotation: Rotation, origin: i64) -> Self {
        Self {
            container,
            writer: Writer::new(container),
            head: Head { rotation, ..Head::default() },
            head_changed: false,
            origin,
            video: Vec::new(),
            audio: Vec::new(),
            pending: None,
            audio_end: None,
        }
    }

    pub(crate) fn container(&self) -> Container {
        self.container
    }

    /// The rotation of the pictures.
    pub(crate) fn rotation(&self) -> Rotation {
        self.head.rotation
    }

    /// Sets the start of the file, in seconds since 1970.
    pub(crate) fn set_began_at(&mut self, seconds: u64) {
        self.head.began_at = seconds;
        self.head_changed = true;
    }

    /// The codecs in the file.
    pub(crate) fn codecs(&self) -> impl Iterator<Item = &'static str> {
        self.head.video.as_ref().map(Format::codec).into_iter().chain(self.head.audio.then_some("opus"))
    }

    /// Whether a picture of this format and rotation can be added to the file.
    pub(crate) fn accepts(&self, format: &Format, rotation: Rotation) -> bool {
        let fits = |known: &Format| known.codec() == format.codec() && self.head.rotation == rotation;
        self.head.video.as_ref().is_none_or(fits) && Container::of(format) == self.container
    }

    /// Adds a picture that was captured at `micros`.
    pub(crate) fn add_picture(&mut self, micros: i64, frame: Frame) {
        let Frame { mut data, format, .. } = frame;
        let is_key = format.is_some();
        if let Some(format) = format {
            self.note_format(&format);
            // The parameter sets in the head are those of the largest picture, which may follow later.
            if let Format::H264(sets) = &format {
                data.splice(0..0, sets.in_band());
            }
        }
        let mut time = self.ticks(Lane::Video, micros);
        if let Some(mut previous) = self.pending.take() {
            time = time.max(previous.time + 1);
            previous.duration = u32::try_from(time - previous.time).unwrap_or(u32::MAX);
            self.video.push(previous);
        }
        self.pending = Some(Sample { time, duration: 0, is_key, data });
    }

    /// Updates the head, which describes the largest picture so far and thereby the display size of the file.
    fn note_format(&mut self, format: &Format) {
        let area = |(width, height): (u16, u16)| u32::from(width) * u32::from(height);
        let is_larger = area(format.size()) > area(self.head.size);
        let differs = self.head.video.as_ref().is_some_and(|known| known != format);
        if differs && !self.head.in_band && matches!(format, Format::H264(_)) {
            self.head.in_band = true;
            self.head_changed = true;
        }
        if self.head.video.is_none() || is_larger {
            self.head.size = format.size();
            self.head.video = Some(format.clone());
            self.head_changed = true;
        }
    }

    /// Adds an audio packet that was captured at `micros`. A gap before it is filled with silence; a packet before the
    /// end of the audio is dropped.
    pub(crate) fn add_sound(&mut self, micros: i64, data: Vec<u8>) {
        let Some(duration) = duration_ticks(&data) else { return };
        let time = self.signed_ticks(Lane::Audio, micros);
        let time = match self.audio_end {
            None => match u64::try_from(time) {
                Ok(time) => time,
                Err(_) => return,
            },
            Some(end) => {
                let ahead = time - i64::try_from(end).unwrap_or(i64::MAX);
                if ahead < -SOUND_TOLERANCE {
                    return;
                }
                if ahead > SOUND_TOLERANCE {
                    self.fill_silence(end.saturating_add_signed(ahead));
                }
                self.audio_end.unwrap_or(end)
            }
        };
        self.push_sound(time, duration, data);
    }

    fn push_sound(&mut self, time: u64, duration: u64, data: Vec<u8>) {
        if !self.head.audio {
            self.head.audio = true;
            self.head_changed = true;
        }
        let sample = Sample { time, duration: u32::try_from(duration).unwrap_or(0), is_key: true, data };
        self.audio.push(sample);
        self.audio_end = Some(time + duration);
    }

    /// Adds silence up to `until`, in audio ticks.
    fn fill_silence(&mut self, until: u64) {
        while let Some(end) = self.audio_end.filter(|end| end + SILENCE_TICKS <= until) {
            self.push_sound(end, SILENCE_TICKS, SILENCE.to_vec());
        }
        // The rest is shorter than a packet, so the last packet is extended by it.
        if let (Some(end), Some(last)) = (self.audio_end, self.audio.last_mut())
            && until > end
            && until - end > SOUND_TOLERANCE.unsigned_abs()
        {
            last.duration += u32::try_from(until - end).unwrap_or(0);
            self.audio_end = Some(until);
        }
    }

    /// Adds silence up to this time, because no audio was received until then.
    pub(crate) fn be_silent_until(&mut self, micros: i64) {
        if self.audio_end.is_some()
            && let Ok(until) = u64::try_from(self.signed_ticks(Lane::Audio, micros))
        {
            while let Some(end) = self.audio_end.filter(|end| end + SILENCE_TICKS <= until) {
                self.push_sound(end, SILENCE_TICKS, SILENCE.to_vec());
            }
        }
    }

    fn signed_ticks(&self, lane: Lane, micros: i64) -> i64 {
        let since = i128::from(micros - self.origin);
        let ticks = (since * i128::from(lane.timescale())).div_euclid(1_000_000);
        i64::try_from(ticks).unwrap_or(0)
    }

    fn ticks(&self, lane: Lane, micros: i64) -> u64 {
        u64::try_from(self.signed_ticks(lane, micros)).unwrap_or(0)
    }

    /// The head, if it has changed.
    pub(crate) fn changed_head(&mut self) -> Result<Option<Vec<u8>>, ContainerError> {
        std::mem::take(&mut self.head_changed).then(|| self.writer.head(&self.head)).transpose()
    }

    /// Cuts a fragment of the samples since the last one, if any, with a head that contains the new duration.
    pub(crate) fn cut(&mut self) -> Result<Option<Cut>, ContainerError> {
        if self.video.is_empty() && self.audio.is_empty() {
            return Ok(None);
        }
        let fragment = self.writer.fragment(&self.video, &self.audio);
        self.head.duration = Some(self.duration());
        self.video.clear();
        self.audio.clear();
        Ok(Some(Cut { fragment: fragment?, head: self.writer.head(&self.head)? }))
    }

    /// Ends the video: the last picture is shown until the audio ends.
    pub(crate) fn end_pictures(&mut self) {
        if let Some(mut last) = self.pending.take() {
            let sound_end = self.audio_end.unwrap_or(0) * 15 / 8;
            let duration = sound_end.saturating_sub(last.time).max(LAST_PICTURE);
            last.duration = u32::try_from(duration).unwrap_or(u32::MAX);
            self.video.push(last);
        }
    }

    /// The duration of the file up to its last sample.
    pub(crate) fn duration(&self) -> Duration {
        let video_end = self.video.last().map_or(0, |last| last.time + u64::from(last.duration));
        let micros = |ticks: u64, lane: Lane| ticks.saturating_mul(1_000_000) / u64::from(lane.timescale());
        let pending_end = self.pending.as_ref().map_or(0, |pending| pending.time);
        let video = micros(video_end.max(pending_end), Lane::Video);
        Duration::from_micros(video.max(micros(self.audio_end.unwrap_or(0), Lane::Audio)))
    }

    /// The data after the last fragment, and the head with the final duration.
    pub(crate) fn end(&mut self, duration: Duration) -> Result<(Vec<u8>, Vec<u8>), ContainerError> {
        let tail = self.writer.tail();
        self.head.duration = Some(duration);
        Ok((tail, self.writer.head(&self.head)?))
    }
}
