//! A recorded room, as seen by the writing thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use sfu::TapTrack;
use sfu::codec::MediaKind;
use signaling_core::message::TrackSource;
use signaling_core::{LifeId, PeerId};

use super::disk::MediaFile;
use crate::captions::Sentences;
use crate::container::Lane;
use crate::index::{Entry, RecordingId};
use crate::recording::Recording;

/// How long a publisher may take to return to the same recording.
pub(super) const RETURN_WINDOW: Duration = Duration::from_secs(30);

/// The sources of a publisher that share one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Group {
    /// The camera and the microphone, and all other sources.
    Person,
    /// The screen with its audio.
    Screen,
}

impl Group {
    pub(super) fn of(source: TrackSource) -> Self {
        match source {
            TrackSource::Screen | TrackSource::ScreenAudio => Self::Screen,
            _ => Self::Person,
        }
    }

    pub(super) fn source(self) -> TrackSource {
        match self {
            Self::Person => TrackSource::Camera,
            Self::Screen => TrackSource::Screen,
        }
    }
}

pub(super) type StreamKey = (PeerId, Group);

/// A recorded room.
pub(super) struct RecordedRoom {
    pub(super) life: LifeId,
    /// Whether all peers are recorded, rather than only the broadcasters.
    pub(super) everybody: bool,
    pub(super) streams: HashMap<StreamKey, Stream>,
    /// The stream that each track belongs to.
    pub(super) tracks: HashMap<Arc<str>, StreamKey>,
    /// The number of packets dropped because the queue was full.
    pub(super) dropped: Arc<AtomicU64>,
    /// What is being said, for captions.
    pub(super) sentences: Sentences,
}

/// The recording of one publisher, with its open file.
pub(super) struct Stream {
    pub(super) recording: Recording,
    pub(super) open: Option<(Entry, MediaFile)>,
    /// When the media of the newest file begins.
    pub(super) began: Option<Instant>,
    /// The newest file, whether it is open or not.
    pub(super) last: Option<RecordingId>,
    /// The time since which no track is left.
    pub(super) idle_since: Option<Instant>,
    /// The value of the room's `dropped` when the file began.
    pub(super) dropped_before: u64,
}

impl Stream {
    pub(super) fn new(recording: Recording) -> Self {
        Self { recording, open: None, began: None, last: None, idle_since: None, dropped_before: 0 }
    }

    pub(super) fn add_track(&mut self, track: &TapTrack) {
        let lane = match track.kind {
            MediaKind::Video => Lane::Video,
            MediaKind::Audio => Lane::Audio,
        };
        self.recording.add_track(Arc::clone(&track.track), lane);
        self.idle_since = None;
    }

    pub(super) fn remove_track(&mut self, now: Instant, track: &str) {
        self.recording.remove_track(track);
        if !self.recording.is_live() {
            self.idle_since = Some(now);
        }
    }

    pub(super) fn is_abandoned(&self, now: Instant) -> bool {
        self.idle_since.is_some_and(|since| now.saturating_duration_since(since) >= RETURN_WINDOW)
    }
}
