//! Video and audio packets that contain test data, and a receiver that plays them.

use std::collections::BTreeMap;

use crate::wire::{u16_at, u32_at, u64_at};

/// The payload bytes of each packet.
pub const SAMPLE_BYTES: usize = 1_100;
const DESCRIPTOR: usize = 4;
/// The start code and size in a key frame header: 640x360 (RFC 6386 section 9.1).
const SIZE: [u8; 7] = [0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
const BODY: usize = DESCRIPTOR + 3 + SIZE.len();

/// The contents of a video packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the picture.
    pub number: u32,
    /// The index of the packet in the picture.
    pub packet: u16,
    /// The number of packets of the picture.
    pub packets: u16,
    /// Whether the picture depends on no other one.
    pub is_key: bool,
    /// The time of sending, in microseconds of the test.
    pub sent_micros: u64,
}

impl Frame {
    /// A VP8 payload of [`SAMPLE_BYTES`].
    pub fn to_vp8(self) -> Vec<u8> {
        let [_, _, high, low] = self.number.to_be_bytes();
        let mut payload = Vec::with_capacity(SAMPLE_BYTES);
        payload.push(if self.packet == 0 { 0x90 } else { 0x80 });
        payload.extend([0x80, high | 0x80, low, u8::from(!self.is_key), 0, 0]);
        payload.extend(SIZE);
        payload.extend(self.number.to_be_bytes());
        payload.extend(self.packet.to_be_bytes());
        payload.extend(self.packets.to_be_bytes());
        payload.extend(self.sent_micros.to_be_bytes());
        payload.resize(SAMPLE_BYTES, 0x55);
        payload
    }

    /// Parses a payload written by [`Frame::to_vp8`].
    pub fn from_vp8(payload: &[u8]) -> Option<Self> {
        Some(Self {
            is_key: *payload.get(DESCRIPTOR)? & 1 == 0,
            number: u32_at(payload, BODY)?,
            packet: u16_at(payload, BODY + 4)?,
            packets: u16_at(payload, BODY + 6)?,
            sent_micros: u64_at(payload, BODY + 8)?,
        })
    }
}

/// Plays pictures in order, as a decoder does: each depends on the previous one, unless it is a key frame.
#[derive(Debug, Default)]
pub struct Playback {
    partial: BTreeMap<u32, (Vec<bool>, bool)>,
    last: Option<u32>,
    /// The number of pictures played.
    pub played: u32,
    /// The time at which the first picture was played.
    pub first_played_micros: Option<u64>,
    /// The time at which the last picture was played.
    pub last_played_micros: Option<u64>,
    /// The longest time between two pictures.
    pub longest_stall_micros: u64,
    /// The time from sending to the first arrival of each packet.
    pub latencies_micros: Vec<u64>,
}

impl Playback {
    /// Handles a packet; duplicates are ignored.
    pub fn on_packet(&mut self, frame: Frame, now_micros: u64) {
        if self.last.is_some_and(|last| frame.number <= last) {
            return;
        }
        let (packets, is_key) = self
            .partial
            .entry(frame.number)
            .or_insert_with(|| (vec![false; usize::from(frame.packets)], false));
        let Some(place) = packets.get_mut(usize::from(frame.packet)) else { return };
        *is_key |= frame.is_key;
        if !std::mem::replace(place, true) {
            self.latencies_micros.push(now_micros.saturating_sub(frame.sent_micros));
        }
        self.play(now_micros);
    }

    /// Whether playback has stalled for so long that a player would request a key frame.
    pub fn is_stuck(&self, now_micros: u64) -> bool {
        let waited = self.last_played_micros.map_or(u64::MAX, |at| now_micros.saturating_sub(at));
        waited > 400_000
    }

    fn play(&mut self, now_micros: u64) {
        loop {
            let ready = self.partial.iter().find(|(number, (packets, is_key))| {
                let follows = self.last.is_some_and(|last| **number == last + 1);
                (follows || *is_key) && packets.iter().all(|there| *there)
            });
            let Some(number) = ready.map(|(number, _)| *number) else { return };
            self.partial.retain(|other, _| *other > number);
            self.last = Some(number);
            self.played += 1;
            if let Some(before) = self.last_played_micros {
                self.longest_stall_micros = self.longest_stall_micros.max(now_micros - before);
            }
            self.first_played_micros.get_or_insert(now_micros);
            self.last_played_micros = Some(now_micros);
        }
    }
}
