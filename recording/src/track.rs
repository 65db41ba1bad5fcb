//! One track of a publisher on its way into a file: in order, put together, timed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::Rotation;
use sfu::codec::Codec;

use crate::clock::{StreamClock, ntp_micros};
use crate::container::Lane;
use crate::depacketize::{Depacketizer, Format, Frame, Payload};
use crate::reorder::{Ordered, ReorderBuffer};

/// A key frame is asked for this long after the last one, so that a recording can be entered in its middle.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(10);
/// And this long after having been asked for in vain.
const KEYFRAME_REPEAT: Duration = Duration::from_secs(1);
/// So long a new stream is watched before its first frame is placed.
pub(crate) const SETTLING: Duration = Duration::from_millis(800);

/// A packet of a recorded track, as the media server handed it out.
#[derive(Clone, Debug)]
pub struct Packet {
    /// When it arrived.
    pub at: Instant,
    /// Its place in the track.
    pub position: u64,
    /// Which of the publisher's streams it belongs to.
    pub generation: u32,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// How the picture is to be turned, where the packet says so.
    pub rotation: Option<Rotation>,
    /// What the payload is.
    pub codec: Codec,
    /// The bytes.
    pub payload: Box<[u8]>,
}

/// A sender report about a recorded track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which of the publisher's streams it is about.
    pub generation: u32,
    /// The publisher's wall clock in NTP's format.
    pub ntp: u64,
    /// The same instant on the track's clock.
    pub timestamp: u32,
}

/// A frame with its time on the stream's own clock.
#[derive(Clone, Debug)]
pub(crate) struct TimedFrame {
    pub(crate) ticks: i64,
    /// When it was made, where another clock than the newest says so.
    placed: Option<i64>,
    pub(crate) rotation: Rotation,
    pub(crate) frame: Frame,
}

/// The receiving half of one lane of a recording.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) id: Arc<str>,
    pub(crate) lane: Lane,
    epoch: Instant,
    reorder: ReorderBuffer<Packet>,
    depacketizer: Option<(Codec, Depacketizer)>,
    pub(crate) clock: StreamClock,
    generation: Option<u32>,
    /// When the first packet of that stream arrived.
    began: Option<Instant>,
    /// Reports of a generation whose packets have not been reached.
    early_report: Option<Report>,
    /// Frames that are whole, in order.
    pub(crate) frames: VecDeque<TimedFrame>,
    /// Pictures until the next key frame would show what is not there.
    waits_for_key: bool,
    /// How pictures are to be turned.
    rotation: Rotation,
    wishes: KeyWishes,
    /// Packets that never came.
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

    /// Takes what is in order, or has been waited for long enough.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(ordered) = self.reorder.pop(now) {
            self.take(ordered);
        }
    }

    /// Takes everything: the track is over.
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
            // Another SSRC: timestamps begin anew.
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
        // It stands in the last packet of a picture, which is handed in now.
        if let Some(rotation) = packet.rotation.filter(|rotation| *rotation != self.rotation) {
            self.rotation = rotation;
            // A picture that lies otherwise begins another file, and a file begins with a key frame.
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

    /// Whether to ask the publisher for a key frame now.
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

    /// Whether enough of the stream came to see how quick it is, so that its frames can be placed.
    pub(crate) fn is_placeable(&self, now: Instant) -> bool {
        let since = |began| now.saturating_duration_since(began) >= SETTLING;
        self.clock.is_settled() || self.began.is_some_and(since)
    }

    /// The next frame, unless it is to wait until its place is known, or was made at `until` or later.
    pub(crate) fn pop_placed(&mut self, now: Option<Instant>, until: Option<i64>) -> Option<(i64, Frame)> {
        let at = self.next_placed(now)?;
        if until.is_some_and(|until| at >= until) {
            return None;
        }
        Some((at, self.frames.pop_front()?.frame))
    }

    /// When the next frame was made, unless it is to wait until its place is known.
    pub(crate) fn next_placed(&mut self, now: Option<Instant>) -> Option<i64> {
        let is_placeable = now.is_none_or(|now| self.is_placeable(now));
        let timed = self.frames.front().filter(|timed| timed.placed.is_some() || is_placeable)?;
        let (ticks, placed) = (timed.ticks, timed.placed);
        Some(placed.unwrap_or_else(|| self.clock.place(ticks)))
    }

    /// When a frame of this track was made, in microseconds of the recording's time.
    pub(crate) fn place(&mut self, timed: &TimedFrame) -> i64 {
        timed.placed.unwrap_or_else(|| self.clock.place(timed.ticks))
    }

    /// Leaves out what was sent before the last change of the codec: publishers are asked for another one when a recording
    /// begins.
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

    /// The format of the first frame that a decoder can begin with.
    pub(crate) fn first_key(&self) -> Option<(&TimedFrame, &Format)> {
        self.frames.iter().find_map(|timed| Some((timed, timed.frame.format.as_ref()?)))
    }
}
