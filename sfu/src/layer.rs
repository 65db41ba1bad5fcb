//! One layer of a track: an encoding of the picture in one size, in a stream of its own.
//!
//! A track has one layer, or up to [`MAX_LAYERS`] of a simulcast publisher (RFC 8853). A layer has its own ring, key
//! frames and clock. A subscriber is sent one of them, and changes at a key frame. Which layer is better is decided by
//! its size, or by its bitrate where the size is unknown, never by its name.

use std::sync::Arc;

use crate::codec::MediaKind;
use crate::keyframe::{Entry, KeyframeRequest};
use crate::publication::SenderClock;
use crate::rate::RateMeter;
use crate::receive::Receiver;
use crate::ring::{PacketInfo, Ring, RingSize};
use crate::time::Micros;

/// Maximum number of layers of a track that are received.
pub(crate) const MAX_LAYERS: usize = 3;
/// A layer counts as stopped when it has sent nothing for this long while its track flows.
const STOPPED_MICROS: u64 = 1_500_000;

/// A publisher is told to stop a layer that nobody has watched for this long.
const UNWATCHED_MICROS: u64 = 1_500_000;
/// The interval at which the bitrate is measured, and the time after which a layer that starts again sends as much as it
/// did before.
const MEASURE_MICROS: u64 = 500_000;
const STARTING_MICROS: u64 = 2_000_000;
/// A bitrate is known after so many measurements: an encoder begins with less than it will send, for ten seconds.
const KNOWN_AFTER: u8 = 20;

/// A layer: the source of its packets, and its ring of recent packets.
pub(crate) struct Layer {
    /// The restriction identifier (RFC 8851); `None` if the track has no named layers.
    pub(crate) rid: Option<Arc<str>>,
    pub(crate) ring: Ring,
    /// The receiver state of the current SSRC.
    pub(crate) receiver: Option<Receiver>,
    /// The number of the current stream, unique in the track.
    pub(crate) generation: u32,
    /// The newest report of the publisher's clocks.
    pub(crate) clock: Option<SenderClock>,
    /// The positions received since the last fan-out.
    pub(crate) pending: Vec<u64>,
    /// The shards that are sent the layer; `mirrored` counts the pending packets already copied to them.
    pub(crate) annexes: Vec<u16>,
    pub(crate) mirrored: usize,
    /// The newest position at which a decoder can start.
    pub(crate) entry: Option<Entry>,
    pub(crate) keyframe: KeyframeRequest,
    pub(crate) last_packet: Option<Micros>,
    pub(crate) rate: RateMeter,
    /// Whether the publisher may send the layer; it was told to stop if not.
    pub(crate) is_on: bool,
    /// The time since which nobody has watched the layer.
    pub(crate) unwatched_since: Option<Micros>,
    /// The time of the next measurement of the bitrate, and the number of those so far.
    measure_at: Micros,
    measurements: u8,
    /// The state that was last determined, or that the home of a mirror has told.
    pub(crate) state: LayerState,
}

/// What is known of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerState {
    /// Whether packets arrive.
    pub(crate) flows: bool,
    /// The usual bitrate in bits per second: it follows an increase within seconds, and a decrease more slowly.
    pub(crate) bitrate: u64,
    /// Whether it has been measured for long enough.
    pub(crate) is_known: bool,
    /// The width and height of the picture; `None` if unknown.
    pub(crate) size: Option<(u16, u16)>,
}

impl LayerState {
    /// The number of pixels; 0 if unknown.
    pub(crate) fn pixels(&self) -> u64 {
        self.size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
    }
}

impl Layer {
    /// Creates a layer that has not received a packet yet.
    pub(crate) fn new(kind: MediaKind, rid: Option<Arc<str>>) -> Self {
        let size = match kind {
            MediaKind::Audio => RingSize::AUDIO,
            MediaKind::Video => RingSize::VIDEO,
        };
        Self {
            rid,
            ring: Ring::new(size),
            receiver: None,
            generation: 0,
            clock: None,
            pending: Vec::new(),
            annexes: Vec::new(),
            mirrored: 0,
            entry: None,
            keyframe: KeyframeRequest::default(),
            last_packet: None,
            rate: RateMeter::default(),
            is_on: true,
            unwatched_since: None,
            measure_at: Micros::default(),
            measurements: 0,
            state: LayerState::default(),
        }
    }

    /// The entry at which a subscriber that can receive now starts; `None` if a new key frame is preferable.
    pub(crate) fn fresh_entry(&self, now: Micros) -> Option<Entry> {
        self.entry.filter(|entry| entry.generation == self.generation && entry.is_fresh(now))
    }

    /// Whether decoding what comes after this position depends on it: no key frame has come since.
    pub(crate) fn needs(&self, position: u64) -> bool {
        self.entry.is_none_or(|entry| entry.position <= position)
    }

    /// Records a packet at which a decoder can start, with its time of arrival.
    pub(crate) fn on_entry(&mut self, info: &PacketInfo, at: Micros) {
        self.entry = Some(Entry::after(self.entry, info, at));
        self.keyframe.satisfied(at);
    }

    /// The time at which a key frame has to be requested, if any.
    pub(crate) fn keyframe_due(&self) -> Option<Micros> {
        self.keyframe.due_at(self.receiver.as_ref().map_or(0, Receiver::rtt_micros))
    }

    /// The newest report of the current stream's clocks.
    pub(crate) fn current_clock(&self) -> Option<SenderClock> {
        self.clock.filter(|clock| clock.generation == self.generation)
    }

    /// Determines the state anew. A layer that the publisher was told to stop keeps its state, because it comes back when
    /// it is wanted.
    pub(crate) fn refresh(&mut self, now: Micros) {
        self.ring.release(now);
        if self.is_on {
            self.state.flows = self.last_packet.is_some_and(|at| at + STOPPED_MICROS > now);
            self.measure(now);
        }
    }

    fn measure(&mut self, now: Micros) {
        let measured = self.rate.bits_per_second(now);
        if measured == 0 || now < self.measure_at {
            return;
        }
        self.measure_at = now + MEASURE_MICROS;
        self.measurements = self.measurements.saturating_add(1);
        let state = &mut self.state;
        state.is_known = self.measurements >= KNOWN_AFTER;
        state.bitrate = match state.bitrate {
            0 => measured,
            known if known < measured => known + (measured - known) / 2,
            known => known - (known - measured) / 8,
        };
    }

    /// Records whether somebody watches the layer; `true` if the publisher has to be told to start or to stop it.
    pub(crate) fn note_watched(&mut self, now: Micros, is_watched: bool) -> bool {
        let was_on = self.is_on;
        if is_watched {
            self.unwatched_since = None;
            self.is_on = true;
            if !was_on {
                // It does not count as stopped while it starts, nor for less than it has sent.
                self.last_packet = Some(now);
                self.measure_at = now + STARTING_MICROS;
            }
        } else {
            let since = *self.unwatched_since.get_or_insert(now);
            // What has never been sent is not known yet.
            self.is_on &= !self.state.flows || now < since + UNWATCHED_MICROS;
        }
        self.is_on != was_on
    }
}
