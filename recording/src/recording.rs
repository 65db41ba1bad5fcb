//! The recording of one publisher's audio and video into a file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::Rotation;

use crate::container::{Container, ContainerError, Lane};
use crate::file::{Cut, File};
use crate::reorder::PATIENCE;
use crate::track::{Packet, Report, SETTLING, Track};

/// The interval between fragments, so that a crash loses well below a second.
const CUT: Duration = Duration::from_millis(800);
/// How long audio waits for announced video before the file begins without it.
const PICTURE_PATIENCE: Duration = Duration::from_secs(3);

/// An action that a recording requests from its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Create a file. Only one is open at a time.
    Begin {
        /// The container format.
        container: Container,
        /// The rotation of the pictures. MP4 files contain it themselves.
        rotation: Rotation,
        /// The capture time of the first frame.
        at: Instant,
        /// The first bytes of the file.
        head: Vec<u8>,
    },
    /// Append these bytes to the file, in one piece.
    Append(Vec<u8>),
    /// Overwrite the first bytes of the file with these.
    Head(Vec<u8>),
    /// Request a key frame from the publisher of this track.
    Keyframe(Arc<str>),
    /// Close the file.
    End {
        /// The duration of the file.
        duration: Duration,
        /// The codecs in the file.
        codecs: Vec<&'static str>,
    },
}

/// Records the audio and video of one publisher, without I/O and without a clock; see the run loop in
/// the crate's documentation.
#[derive(Debug)]
pub struct Recording {
    epoch: Instant,
    /// The wall clock at `epoch`, in seconds since 1970.
    epoch_unix: u64,
    video: Option<Track>,
    audio: Option<Track>,
    state: State,
    outputs: VecDeque<Output>,
    /// The number of lost packets of tracks that have ended.
    lost_before: u64,
}

#[derive(Debug)]
enum State {
    /// No file is open yet: one begins with a key frame, or with audio.
    Waiting {
        since: Option<Instant>,
    },
    Writing {
        file: Box<File>,
        next_cut: Instant,
    },
}

impl Recording {
    /// Creates a recording without tracks.
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            epoch_unix: 0,
            video: None,
            audio: None,
            state: State::Waiting { since: None },
            outputs: VecDeque::new(),
            lost_before: 0,
        }
    }

    /// Sets the wall clock for file headers: the seconds since 1970 at which the recording was created.
    #[must_use]
    pub fn with_wall_clock(mut self, seconds: u64) -> Self {
        self.epoch_unix = seconds;
        self
    }

    /// Adds a track. It replaces an earlier one of its kind, as after a reconnection.
    pub fn add_track(&mut self, track: Arc<str>, lane: Lane) {
        if let Some(previous) = self.lane_mut(lane).take() {
            self.retire(previous);
        }
        *self.lane_mut(lane) = Some(Track::new(track, lane, self.epoch));
    }

    /// Removes a track. The media received so far is still written.
    pub fn remove_track(&mut self, track: &str) {
        for lane in [Lane::Video, Lane::Audio] {
            if let Some(found) = self.lane_mut(lane).take_if(|known| *known.id == *track) {
                self.retire(found);
            }
        }
    }

    /// Whether any track is left.
    pub fn is_live(&self) -> bool {
        self.video.is_some() || self.audio.is_some()
    }

    /// The number of lost packets.
    pub fn lost(&self) -> u64 {
        self.lost_before
            + [&self.video, &self.audio].into_iter().flatten().map(|track| track.lost).sum::<u64>()
    }

    /// The codecs in the open file.
    pub fn codecs(&self) -> Vec<&'static str> {
        match &self.state {
            State::Writing { file, .. } => file.codecs().collect(),
            State::Waiting { .. } => Vec::new(),
        }
    }

    /// The duration of the open file.
    pub fn duration(&self) -> Duration {
        match &self.state {
            State::Writing { file, .. } => file.duration(),
            State::Waiting { .. } => Duration::ZERO,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut Option<Track> {
        match lane {
            Lane::Video => &mut self.video,
            Lane::Audio => &mut self.audio,
        }
    }

    /// Writes the remaining media of a track.
    fn retire(&mut self, mut track: Track) {
        track.flush();
        self.lost_before += track.lost;
        if matches!(self.state, State::Writing { .. }) {
            let lane = track.lane;
            *self.lane_mut(lane) = Some(track);
            self.collect(None);
            *self.lane_mut(lane) = None;
        }
    }

    /// Handles a packet of a track.
    pub fn handle_packet(&mut self, now: Instant, track: &str, packet: Packet) {
        let tracks = [&mut self.video, &mut self.audio];
        if let Some(track) = tracks.into_iter().flatten().find(|known| *known.id == *track) {
            track.on_packet(now, packet);
        }
    }

    /// Handles a sender report on a track.
    pub fn handle_report(&mut self, track: &str, report: Report) {
        let tracks = [&mut self.video, &mut self.audio];
        if let Some(track) = tracks.into_iter().flatten().find(|known| *known.id == *track) {
            track.on_report(report);
        }
    }

    /// Advances the time. To be called about fifty times a second.
    pub fn handle_timeout(&mut self, now: Instant) {
        for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
            track.advance(now);
            if track.wants_key(now) {
                self.outputs.push_back(Output::Keyframe(Arc::clone(&track.id)));
            }
        }
        match &mut self.state {
            State::Waiting { .. } => self.try_begin(now, false),
            State::Writing { next_cut, .. } if now >= *next_cut => {
                // Relative to now, not to the due time: a late driver has nothing to catch up on.
                *next_cut = now + CUT;
                self.fill(now);
                self.collect(Some(now));
                self.write_out();
            }
            State::Writing { .. } => {}
        }
    }

    /// Writes the remaining media and closes the file.
    pub fn finish(&mut self, now: Instant) {
        for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
            track.flush();
        }
        loop {
            if matches!(self.state, State::Waiting { .. }) {
                self.try_begin(now, true);
            }
            let was_writing = matches!(self.state, State::Writing { .. });
            self.collect(None);
            // The remaining frames belong to another file.
            let goes_on = was_writing && matches!(self.state, State::Waiting { .. });
            self.end_file();
            if !goes_on {
                break;
            }
        }
        for track in [self.video.take(), self.audio.take()].into_iter().flatten() {
            self.lost_before += track.lost;
        }
    }

    /// The next action for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Starts a file when its contents are known and enough packets have arrived to estimate the delay of the streams.
    fn try_begin(&mut self, now: Instant, at_once: bool) {
        let State::Waiting { since } = &mut self.state else { return };
        if let Some(video) = &mut self.video {
            video.skip_to_last_codec();
        }
        let key = self.video.as_ref().and_then(|video| {
            let (timed, format) = video.first_key()?;
            Some((Container::of(format), timed.rotation))
        });
        let has_sound = self.audio.as_ref().is_some_and(|audio| !audio.frames.is_empty());
        if key.is_none() && !has_sound {
            return;
        }
        let waited = now.saturating_duration_since(*since.get_or_insert(now));
        let awaits_picture = self.video.is_some() && key.is_none();
        let patience = if awaits_picture { PICTURE_PATIENCE } else { SETTLING };
        if !at_once && waited < patience {
            return;
        }
        // The audio leads if sender reports allow the video to be aligned with it.
        if let Some(audio) = &mut self.audio
            && let Some(first) = audio.frames.pop_front()
        {
            audio.place(&first);
            audio.frames.push_front(first);
        }
        self.align();
        let leader = if key.is_some() { &mut self.video } else { &mut self.audio };
        let Some(track) = leader else { return };
        let Some(first) = track.frames.pop_front() else { return };
        let origin = track.place(&first);
        track.frames.push_front(first);
        let (container, rotation) = key.unwrap_or((Container::Mp4, Rotation::Upright));
        let mut file = Box::new(File::new(container, rotation, origin));
        let since_epoch = Duration::from_micros(u64::try_from(origin).unwrap_or(0));
        file.set_began_at(self.epoch_unix + since_epoch.as_secs());
        // The head is written with the first fragment, when the codecs are known.
        self.state = State::Writing { file, next_cut: now + CUT };
        self.collect((!at_once).then_some(now));
        self.write_first(since_epoch);
    }

    fn write_first(&mut self, since_epoch: Duration) {
        let State::Writing { file, .. } = &mut self.state else { return };
        match file.changed_head() {
            Ok(head) => {
                let head = head.unwrap_or_default();
                let at = self.epoch + since_epoch;
                self.outputs.push_back(Output::Begin {
                    container: file.container(),
                    rotation: file.rotation(),
                    at,
                    head,
                });
                self.write_out();
            }
            Err(error) => self.give_up(error),
        }
    }

    /// Aligns the stream that has not been placed with the one that has: video with audio, unless the audio is new.
    fn align(&mut self) {
        if let (Some(video), Some(audio)) = (&mut self.video, &mut self.audio) {
            if audio.clock.is_settled() {
                video.clock.follow(&audio.clock);
            } else {
                audio.clock.follow(&video.clock);
            }
        }
    }

    /// Moves the frames of both tracks into the file; without a time, including those whose placement is uncertain. If
    /// a picture does not fit the file, the file is ended.
    fn collect(&mut self, now: Option<Instant>) {
        self.align();
        let State::Writing { file, .. } = &mut self.state else { return };
        let (mut needs_another, mut until) = (false, None);
        if let Some(video) = &mut self.video {
            while !needs_another {
                let first = video.frames.front();
                let key = first.and_then(|timed| Some((timed.frame.format.as_ref()?, timed.rotation)));
                if let Some((format, rotation)) = key {
                    needs_another = !file.accepts(format, rotation);
                }
                if needs_another {
                    until = video.next_placed(now);
                }
                let Some((micros, frame)) = (!needs_another).then(|| video.pop_placed(now, None)).flatten()
                else {
                    break;
                };
                file.add_picture(micros, frame);
            }
        }
        if let Some(audio) = &mut self.audio {
            // Audio captured before that picture belongs to the file that ends.
            while let Some((micros, frame)) = audio.pop_placed(now, until) {
                file.add_sound(micros, frame.data);
            }
        }
        if needs_another {
            self.end_file();
        }
    }

    /// Adds silence where no audio was received for longer than lost packets are waited for.
    fn fill(&mut self, now: Instant) {
        let is_live = self.is_live();
        let pending = self.audio.as_ref().is_some_and(|audio| !audio.frames.is_empty());
        if let State::Writing { file, .. } = &mut self.state
            && is_live
            && !pending
        {
            let until = now.saturating_duration_since(self.epoch).saturating_sub(PATIENCE + PATIENCE / 4);
            file.be_silent_until(i64::try_from(until.as_micros()).unwrap_or(i64::MAX));
        }
    }

    fn write_out(&mut self) {
        let State::Writing { file, .. } = &mut self.state else { return };
        let written = file.changed_head().and_then(|head| Ok((head, file.cut()?)));
        match written {
            Ok((head, fragment)) => {
                self.outputs.extend(head.map(Output::Head));
                if let Some(Cut { fragment, head }) = fragment {
                    self.outputs.push_back(Output::Append(fragment));
                    // After the fragment, so that the head never describes missing data.
                    self.outputs.push_back(Output::Head(head));
                }
            }
            Err(error) => self.give_up(error),
        }
    }

    /// Ends the file because a container cannot hold the stream, as with parameter sets of kilobytes.
    /// The next key frame may fit.
    fn give_up(&mut self, error: ContainerError) {
        tracing::warn!(%error, "a recording goes on in another file");
        if let State::Writing { file, .. } =
            std::mem::replace(&mut self.state, State::Waiting { since: None })
        {
            let codecs = file.codecs().collect();
            self.outputs.push_back(Output::End { duration: file.duration(), codecs });
        }
    }

    fn end_file(&mut self) {
        if let State::Writing { file, .. } = &mut self.state {
            file.end_pictures();
            let duration = file.duration();
            self.write_out();
            let State::Writing { mut file, .. } =
                std::mem::replace(&mut self.state, State::Waiting { since: None })
            else {
                return;
            };
            if let Ok((tail, head)) = file.end(duration) {
                if !tail.is_empty() {
                    self.outputs.push_back(Output::Append(tail));
                }
                self.outputs.push_back(Output::Head(head));
            }
            let codecs = file.codecs().collect();
            self.outputs.push_back(Output::End { duration, codecs });
        }
    }
}
