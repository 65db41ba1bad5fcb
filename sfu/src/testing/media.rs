//! Video and audio packets that contain test data, and a receiver that plays them.

use std::collections::BTreeMap;

use crate::wire::{u16_at, u32_at, u64_at};

/// The payload bytes of each packet.
pub const SAMPLE_BYTES: usize = 1_100;
const DESCRIPTOR: usize = 4;
/// The start code in a key frame header, which the size follows (RFC 6386 section 9.1).
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
const SIZE: usize = DESCRIPTOR + 3 + START_CODE.len();
const BODY: usize = SIZE + 4;

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
    /// The width and height, by which layers are told apart.
    pub size: (u16, u16),
}

impl Frame {
    /// A VP8 payload of [`SAMPLE_BYTES`].
    pub fn to_vp8(self) -> Vec<u8> {
        let [_, _, high, low] = self.number.to_be_bytes();
        let mut payload = Vec::with_capacity(SAMPLE_BYTES);
        payload.push(if self.packet == 0 { 0x90 } else { 0x80 });
        payload.extend([0x80, high | 0x80, low, u8::from(!self.is_key), 0, 0]);
        payload.extend(START_CODE);
        payload.extend(self.size.0.to_le_bytes());
        payload.extend(self.size.1.to_le_bytes());
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
            size: (u16_at(payload, SIZE)?.swap_bytes(), u16_at(payload, SIZE + 2)?.swap_bytes()),
        })
    }
}

/// Plays pictures in order, as a decoder does: each depends on the previous one of its layer, unless it is a key frame.
#[derive(Clone, Debug, Default)]
pub struct Playback {
    partial: BTreeMap<(u32, u16), (Vec<bool>, bool)>,
    /// The number and the width of the last picture played.
    last: Option<(u32, u16)>,
    /// The time of the first packet.
    began_micros: Option<u64>,
    /// The number of pictures played.
    pub played: u32,
    /// The time at which the first picture was played.
    pub first_played_micros: Option<u64>,
    /// The time at which the last picture was played.
    pub last_played_micros: Option<u64>,
    /// The longest time between two pictures.
    pub longest_stall_micros: u64,
    /// The number of pictures played, by width.
    pub played_of_width: BTreeMap<u16, u32>,
    /// The time from sending to the first arrival of each packet.
    pub latencies_micros: Vec<u64>,
}

impl Playback {
    /// Handles a packet; duplicates are ignored.
    pub fn on_packet(&mut self, frame: Frame, now_micros: u64) {
        self.began_micros.get_or_insert(now_micros);
        let key = (frame.number, frame.size.0);
        let is_over = |(number, width): (u32, u16)| {
            frame.number < number || frame.number == number && frame.size.0 == width
        };
        if self.last.is_some_and(is_over) {
            return;
        }
        let (packets, is_key) =
            self.partial.entry(key).or_insert_with(|| (vec![false; usize::from(frame.packets)], false));
        let Some(place) = packets.get_mut(usize::from(frame.packet)) else { return };
        *is_key |= frame.is_key;
        if !std::mem::replace(place, true) {
            self.latencies_micros.push(now_micros.saturating_sub(frame.sent_micros));
        }
        self.play(now_micros);
    }

    /// Whether playback has stalled for so long that a player would request a key frame. It waits less for the first one.
    pub fn is_stuck(&self, now_micros: u64) -> bool {
        let (since, most) = match self.last_played_micros {
            Some(at) => (at, 400_000),
            None => (self.began_micros.unwrap_or(now_micros), 200_000),
        };
        now_micros.saturating_sub(since) > most
    }

    fn play(&mut self, now_micros: u64) {
        loop {
            let ready = self.partial.iter().find(|((number, width), (packets, is_key))| {
                let follows = self.last == number.checked_sub(1).map(|before| (before, *width));
                (follows || *is_key) && packets.iter().all(|there| *there)
            });
            let Some((number, width)) = ready.map(|(key, _)| *key) else { return };
            self.partial.retain(|(other, layer), _| *other > number || *other == number && *layer != width);
            self.last = Some((number, width));
            self.played += 1;
            *self.played_of_width.entry(width).or_default() += 1;
            if let Some(before) = self.last_played_micros {
                self.longest_stall_micros = self.longest_stall_micros.max(now_micros - before);
            }
            self.first_played_micros.get_or_insert(now_micros);
            self.last_played_micros = Some(now_micros);
        }
    }
}
