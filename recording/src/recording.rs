//! One publisher's sound and picture on their way into a file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::Rotation;

use crate::container::{Container, ContainerError, Lane};
use crate::file::{Cut, File};
use crate::reorder::PATIENCE;
use crate::track::{Packet, Report, SETTLING, Track};

/// A fragment is cut this often: what is lost by a crash stays well below a second.
const CUT: Duration = Duration::from_millis(800);
/// So long sound waits for a picture that was announced, before the file begins without it.
const PICTURE_PATIENCE: Duration = Duration::from_secs(3);

/// What a recording asks of whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file begins. Only one is open at a time.
    Begin {
        /// What kind of file.
        container: Container,
        /// How its pictures are to be turned. MP4 says so itself.
        rotation: Rotation,
        /// When its first frame was made.
        at: Instant,
        /// Its first bytes.
        head: Vec<u8>,
    },
    /// To be appended to the file, in one piece.
    Append(Vec<u8>),
    /// To be written over the file's first bytes.
    Head(Vec<u8>),
    /// The publisher of this track is to send a key frame.
    Keyframe(Arc<str>),
    /// The file is finished.
    End {
        /// How long it is.
        duration: Duration,
        /// What is in it.
        codecs: Vec<&'static str>,
    },
}

/// One publisher's sound and picture. Without I/O, without a clock; see the crate's run loop.
#[derive(Debug)]
pub struct Recording {
    epoch: Instant,
    /// The wall clock at `epoch`, in seconds since 1970.
    epoch_unix: u64,
    video: Option<Track>,
    audio: Option<Track>,
    state: State,
    outputs: VecDeque<Output>,
    /// Packets that never came, of tracks that are over.
    lost_before: u64,
}

#[derive(Debug)]
enum State {
    /// Nothing was written since then: a key frame, or the first sound, is still to come.
    Waiting {
        since: Option<Instant>,
    },
    Writing {
        file: Box<File>,
        next_cut: Instant,
    },
}

impl Recording {
    /// Nothing yet.
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

    /// Says what time it is where people live, for the heads of the files: seconds since 1970 when the recording was
    /// made.
    #[must_use]
    pub fn with_wall_clock(mut self, seconds: u64) -> Self {
        self.epoch_unix = seconds;
        self
    }

    /// A track is there. It takes the place of an earlier one in its lane, as after a reconnection.
    pub fn add_track(&mut self, track: Arc<str>, lane: Lane) {
        if let Some(previous) = self.lane_mut(lane).take() {
            self.retire(previous);
        }
        *self.lane_mut(lane) = Some(Track::new(track, lane, self.epoch));
    }

    /// A track is over. What it sent until now is still written.
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

    /// Packets that never came.
    pub fn lost(&self) -> u64 {
        self.lost_before
            + [&self.video, &self.audio].into_iter().flatten().map(|track| track.lost).sum::<u64>()
    }

    /// The codecs in the file that is open.
    pub fn codecs(&self) -> Vec<&'static str> {
        match &self.state {
            State::Writing { file, .. } => file.codecs().collect(),
            State::Waiting { .. } => Vec::new(),
        }
    }

    /// How long the file is that is open.
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

    /// Writes what a track has left.
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

    /// A packet of a track.
    pub fn handle_packet(&mut self, now: Instant, track: &str, packet: Packet) {
        let tracks = [&mut self.video, &mut self.audio];
        if let Some(track) = tracks.into_iter().flatten().find(|known| *known.id == *track) {
            track.on_packet(now, packet);
        }
    }

    /// A sender report about a track.
    pub fn handle_report(&mut self, track: &str, report: Report) {
        let tracks = [&mut self.video, &mut self.audio];
        if let Some(track) = tracks.into_iter().flatten().find(|known| *known.id == *track) {
            track.on_report(report);
        }
    }

    /// To be called some fifty times a second.
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
                // From the present, not from when it was due: a driver that was late has nothing to catch up with.
                *next_cut = now + CUT;
                self.fill(now);
                self.collect(Some(now));
                self.write_out();
            }
            State::Writing { .. } => {}
        }
    }

    /// The end: writes what is left and closes the file.
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
            // What is left belongs into another file.
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

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Begins a file as soon as it is clear with what, and enough came to see how quick the streams are.
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
        // The sound leads, where reports say how the picture lies to it.
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
        // The head comes with the first fragment, when it is known what is in it.
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

    /// Moves the stream that was not placed first to the one that was: the picture to the sound, unless the sound is new.
    fn align(&mut self) {
        if let (Some(video), Some(audio)) = (&mut self.video, &mut self.audio) {
            if audio.clock.is_settled() {
                video.clock.follow(&audio.clock);
            } else {
                audio.clock.follow(&video.clock);
            }
        }
    }

    /// Takes the frames of both tracks into the file; without a time, those too whose place is not sure. Where a picture
    /// cannot be in the file, another one begins.
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
            // What is heard with the other file's pictures is in that one.
            while let Some((micros, frame)) = audio.pop_placed(now, until) {
                file.add_sound(micros, frame.data);
            }
        }
        if needs_another {
            self.end_file();
        }
    }

    /// Where nothing was heard for longer than lost packets are waited for, there was silence.
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
                    // After it, so that the head never promises what is not there.
                    self.outputs.push_back(Output::Head(head));
                }
            }
            Err(error) => self.give_up(error),
        }
    }

    /// A stream that no file can hold, as with parameter sets of kilobytes. The next key frame may be better.
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
