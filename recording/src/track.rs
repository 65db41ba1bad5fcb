//! Turns one track of a publisher into ordered, assembled and timed frames.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::Rotation;
use sfu::codec::Codec;

use crate::clock::{StreamClock, ntp_micros};
use crate::container::Lane;
use crate::depacketize::{Depacketizer, Frame, Payload};
use crate::format::Format;
use crate::reorder::{Ordered, ReorderBuffer};

/// The interval after a key frame at which another one is requested, so that the recording is seekable.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(10);
/// The interval after which an unanswered request is repeated.
const KEYFRAME_REPEAT: Duration = Duration::from_secs(1);
/// How long a new stream is observed before its first frame is placed.
pub(crate) const SETTLING: Duration = Duration::from_millis(800);

/// A packet of a recorded track, as received from the media server.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The time of arrival.
    pub at: Instant,
    /// The position in the track.
    pub position: u64,
    /// The generation of the publisher's stream.
    pub generation: u32,
    /// The RTP timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The rotation of the picture, if the packet contains it.
    pub rotation: Option<Rotation>,
    /// The codec of the payload.
    pub codec: Codec,
    /// The payload.
    pub payload: Box<[u8]>,
}

/// A sender report on a recorded track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The generation of the publisher's stream that the report describes.
    pub generation: u32,
    /// The publisher's wall clock in NTP format.
    pub ntp: u64,
    /// The RTP timestamp of the same instant.
    pub timestamp: u32,
}

/// A frame with its timestamp on the stream's clock.
#[derive(Clone, Debug)]
pub(crate) struct TimedFrame {
    pub(crate) ticks: i64,
    /// The capture time, if it was determined by an earlier clock than the current one.
    placed: Option<i64>,
    pub(crate) rotation: Rotation,
    pub(crate) frame: Frame,
}

/// The receiving half of one audio or video stream of a recording.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) id: Arc<str>,
    pub(crate) lane: Lane,
    epoch: Instant,
    reorder: ReorderBuffer<Packet>,
    depacketizer: Option<(Codec, Depacketizer)>,
    pub(crate) clock: StreamClock,
    generation: Option<u32>,
    /// The arrival of the first packet of the current generation.
    began: Option<Instant>,
    /// A report of a generation whose packets have not been processed yet.
    early_report: Option<Report>,
    /// The complete frames, in order.
    pub(crate) frames: VecDeque<TimedFrame>,
    /// Whether to drop pictures until the next key frame, because they depend on lost packets.
    waits_for_key: bool,
    /// The rotation of the pictures.
    rotation: Rotation,
    wishes: KeyWishes,
    /// The number of lost packets.
    pub(crate) lost: u64,
    out: Vec<Frame>,
}

#[derive(Debug, Default)]
struct KeyWishes {
    last_key: Option<Instant>,
    asked: Option<Instant>,
}

impl Track {
    pub(crate) fn new(id: Arc<str>, lane: Lane, epoch: Instant) -> Self {
        Self {
            id,
            lane,
            epoch,
            reorder: ReorderBuffer::default(),
            depacketizer: None,
            clock: StreamClock::new(lane.timescale()),
            generation: None,
            began: None,
            early_report: None,
            frames: VecDeque::new(),
            waits_for_key: lane == Lane::Video,
            rotation: Rotation::Upright,
            wishes: KeyWishes::default(),
            lost: 0,
            out: Vec::new(),
        }
    }

    pub(crate) fn on_packet(&mut self, now: Instant, packet: Packet) {
        self.reorder.push(packet.position, packet, now);
        self.advance(now);
    }

    pub(crate) fn on_report(&mut self, report: Report) {
        if self.generation == Some(report.generation) {
            self.clock.on_report(report.timestamp, ntp_micros(report.ntp));
        } else {
            self.early_report = Some(report);
        }
    }

    /// Processes the packets that are in order or have been waited for long enough.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(ordered) = self.reorder.pop(now) {
            self.take(ordered);
        }
    }

    /// Processes all remaining packets at the end of the track.
    pub(crate) fn flush(&mut self) {
        while let Some(ordered) = self.reorder.flush() {
            self.take(ordered);
        }
    }

    fn take(&mut self, ordered: Ordered<Packet>) {
        match ordered {
            Ordered::Gap(lost) => {
                self.lost += lost;
                self.waits_for_key = self.lane == Lane::Video;
                if let Some((_, depacketizer)) = &mut self.depacketizer {
                    depacketizer.reset();
                }
            }
            Ordered::Next(packet) => self.read(&packet),
        }
    }

    fn read(&mut self, packet: &Packet) {
        if self.generation != Some(packet.generation) {
            // A new SSRC: timestamps start again.
            self.generation = Some(packet.generation);
            self.began = Some(packet.at);
            for timed in &mut self.frames {
                timed.placed.get_or_insert_with(|| self.clock.place(timed.ticks));
            }
            self.clock = StreamClock::new(self.lane.timescale());
            self.rotation = Rotation::Upright;
            if let Some(report) = self.early_report.take_if(|report| report.generation == packet.generation) {
                self.clock.on_report(report.timestamp, ntp_micros(report.ntp));
            }
        }
        // The rotation is in the last packet of a picture, which is being processed now.
        if let Some(rotation) = packet.rotation.filter(|rotation| *rotation != self.rotation) {
            self.rotation = rotation;
            // A different rotation starts another file, and a file starts with a key frame.
            self.wishes.last_key = None;
        }
        let ticks = self.clock.extend(packet.timestamp);
        let arrival = packet.at.saturating_duration_since(self.epoch).as_micros();
        self.clock.on_arrival(ticks, i64::try_from(arrival).unwrap_or(i64::MAX));
        let is_same = self.depacketizer.as_ref().is_some_and(|(codec, _)| *codec == packet.codec);
        if !is_same {
            self.depacketizer = Some((packet.codec, Depacketizer::new(packet.codec)));
        }
        let Some((_, depacketizer)) = &mut self.depacketizer else { return };
        let payload = Payload { timestamp: packet.timestamp, marker: packet.marker, bytes: &packet.payload };
        depacketizer.push(payload, &mut self.out);
        for frame in self.out.drain(..) {
            if frame.format.is_some() {
                self.waits_for_key = false;
                self.wishes = KeyWishes { last_key: Some(packet.at), asked: None };
            }
            if !self.waits_for_key {
                let ticks = self.clock.extend(frame.timestamp);
                self.frames.push_back(TimedFrame { ticks, placed: None, rotation: self.rotation, frame });
            }
        }
    }

    /// Whether to request a key frame from the publisher now.
    pub(crate) fn wants_key(&mut self, now: Instant) -> bool {
        if self.lane == Lane::Audio {
            return false;
        }
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let is_due =
            self.waits_for_key || since(self.wishes.last_key).is_none_or(|since| since >= KEYFRAME_INTERVAL);
        let may_ask = since(self.wishes.asked).is_none_or(|since| since >= KEYFRAME_REPEAT);
        if is_due && may_ask {
            self.wishes.asked = Some(now);
        }
        is_due && may_ask
    }

    /// Whether enough of the stream has arrived to estimate its delay, so that frames can be placed.
    pub(crate) fn is_placeable(&self, now: Instant) -> bool {
        let since = |began| now.saturating_duration_since(began) >= SETTLING;
        self.clock.is_settled() || self.began.is_some_and(since)
    }

    /// Removes and returns the next frame, unless its placement is uncertain or it was captured at `until` or later.
    pub(crate) fn pop_placed(&mut self, now: Option<Instant>, until: Option<i64>) -> Option<(i64, Frame)> {
        let at = self.next_placed(now)?;
        if until.is_some_and(|until| at >= until) {
            return None;
        }
        Some((at, self.frames.pop_front()?.frame))
    }

    /// The capture time of the next frame, unless its placement is uncertain.
    pub(crate) fn next_placed(&mut self, now: Option<Instant>) -> Option<i64> {
        let is_placeable = now.is_none_or(|now| self.is_placeable(now));
        let timed = self.frames.front().filter(|timed| timed.placed.is_some() || is_placeable)?;
        let (ticks, placed) = (timed.ticks, timed.placed);
        Some(placed.unwrap_or_else(|| self.clock.place(ticks)))
    }

    /// The capture time of a frame of this track, in microseconds on the recording's timeline.
    pub(crate) fn place(&mut self, timed: &TimedFrame) -> i64 {
        timed.placed.unwrap_or_else(|| self.clock.place(timed.ticks))
    }

    /// Drops the frames before the last change of codec, because publishers may be asked to change the
    /// codec when a recording starts.
    pub(crate) fn skip_to_last_codec(&mut self) {
        let codecs = self.frames.iter().map(|timed| timed.frame.format.as_ref().map(Format::codec));
        let (mut last, mut from) = (None, 0);
        for (at, codec) in codecs.enumerate() {
            if codec.is_some() && codec != last {
                (last, from) = (codec, at);
            }
        }
        self.frames.drain(..from);
    }

    /// The first frame at which a decoder can start, with its format.
    pub(crate) fn first_key(&self) -> Option<(&TimedFrame, &Format)> {
        self.frames.iter().find_map(|timed| Some((timed, timed.frame.format.as_ref()?)))
    }
}
