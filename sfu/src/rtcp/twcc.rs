//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use super::packet::{RTPFB, begin_packet, end_packet};
use crate::wire::{Writer, u8_at, u16_at, u24_at, u32_at};

/// Maximum number of packets reported by one feedback packet, which bounds the work that a datagram can cause.
pub const MAX_STATUSES: u16 = 4_096;
/// The unit of the reference time.
const REFERENCE_MICROS: i64 = 64_000;
/// The unit of receive deltas.
const DELTA_MICROS: i64 = 250;

/// A parsed feedback packet.
#[derive(Clone, Debug)]
pub struct TwccFeedback<'a> {
    /// The SSRC of one of the reported streams.
    pub media: u32,
    /// The first reported transport-wide sequence number.
    pub base: u16,
    /// The number of reported packets.
    pub count: u16,
    /// The reference time of the first arrival, in units of 64 ms of the receiver's clock, 24 bits and signed.
    pub reference: i32,
    chunks: &'a [u8],
}

/// The arrival of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The transport-wide sequence number.
    pub sequence: u16,
    /// The time on the receiver's clock in microseconds; `None` if the packet has not arrived.
    pub at_micros: Option<i64>,
}

impl<'a> TwccFeedback<'a> {
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let reference = u24_at(packet, 16)?;
        let count = u16_at(packet, 14)?;
        (count <= MAX_STATUSES).then_some(())?;
        Some(Self {
            media: u32_at(packet, 8)?,
            base: u16_at(packet, 12)?,
            count,
            reference: i32::from_be_bytes((reference << 8).to_be_bytes()) >> 8,
            chunks: packet.get(20..)?,
        })
    }

    /// The reported packets, in the order of sequence numbers. Ends early if the feedback is truncated.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival> + 'a {
        // The deltas follow the last chunk, so the chunks are scanned once to find their start.
        let mut reported = 0_u32;
        let mut at = 0;
        while reported < u32::from(self.count) {
            let Some(chunk) = u16_at(self.chunks, at) else { break };
            reported += u32::from(chunk_len(chunk));
            at += 2;
        }
        let mut deltas = self.chunks.get(at..).unwrap_or_default();
        let mut now = i64::from(self.reference) * REFERENCE_MICROS;
        let mut sequence = self.base;
        statuses(self.chunks).take(usize::from(self.count)).map_while(move |symbol| {
            let at_micros = match symbol {
                1 => {
                    let delta = u8_at(deltas, 0)?;
                    deltas = deltas.get(1..)?;
                    now += i64::from(delta) * DELTA_MICROS;
                    Some(now)
                }
                2 => {
                    let delta = u16_at(deltas, 0)?;
                    deltas = deltas.get(2..)?;
                    now += i64::from(delta.cast_signed()) * DELTA_MICROS;
                    Some(now)
                }
                _ => None,
            };
            let arrival = Arrival { sequence, at_micros };
            sequence = sequence.wrapping_add(1);
            Some(arrival)
        })
    }
}

fn chunk_len(chunk: u16) -> u16 {
    match chunk >> 14 {
        0 | 1 => chunk & 0x1fff,
        2 => 14,
        _ => 7,
    }
}

/// The status symbols of all chunks, including the surplus of the last one.
fn statuses(chunks: &[u8]) -> impl Iterator<Item = u8> + '_ {
    chunks.chunks_exact(2).flat_map(|chunk| {
        let chunk = u16_at(chunk, 0).unwrap_or(0);
        (0..chunk_len(chunk)).map(move |at| {
            let symbol = match chunk >> 14 {
                0 | 1 => chunk >> 13 & 3,
                2 => chunk >> (13 - at) & 1,
                _ => chunk >> (12 - 2 * at) & 3,
            };
            u8::try_from(symbol).unwrap_or(0)
        })
    })
}

/// Appends feedback on the packets from `base` on. `arrivals` contains the time of arrival of each packet in
/// microseconds, or `None` if it has not arrived. Returns how many packets were included: a delta that does not fit
/// into 16 bits ends the feedback.
pub(crate) fn write_twcc(
    writer: &mut Writer<'_>,
    sender: u32,
    media: u32,
    base: u16,
    feedback_count: u8,
    arrivals: &[Option<i64>],
) -> usize {
    let Some(first) = arrivals.iter().flatten().next() else { return 0 };
    let reference = first.div_euclid(REFERENCE_MICROS);
    let mut ticks = reference * (REFERENCE_MICROS / DELTA_MICROS);
    let mut taken = 0;
    for arrival in arrivals.iter().take(usize::from(MAX_STATUSES)) {
        if let Some(at) = arrival {
            let delta = at.div_euclid(DELTA_MICROS) - ticks;
            if i16::try_from(delta).is_err() {
                break;
            }
            ticks += delta;
        }
        taken += 1;
    }
    let arrivals = arrivals.get(..taken).unwrap_or_default();

    let at = begin_packet(writer, 15, RTPFB);
    writer.u32(sender);
    writer.u32(media);
    writer.u16(base);
    writer.u16(u16::try_from(taken).unwrap_or(0));
    writer.u24(u32::try_from(reference.rem_euclid(1 << 24)).unwrap_or(0));
    writer.u8(feedback_count);
    let start = reference * (REFERENCE_MICROS / DELTA_MICROS);
    write_chunks(writer, start, arrivals);
    let mut ticks = start;
    for arrival in arrivals.iter().flatten() {
        let delta = arrival.div_euclid(DELTA_MICROS) - ticks;
        ticks += delta;
        match u8::try_from(delta) {
            Ok(delta) => writer.u8(delta),
            Err(_) => writer.u16(i16::try_from(delta).unwrap_or(0).cast_unsigned()),
        }
    }
    end_packet(writer, at);
    taken
}

/// Encodes seven or more equal symbols as a run length, and others as two-bit vectors.
fn write_chunks(writer: &mut Writer<'_>, start: i64, arrivals: &[Option<i64>]) {
    let mut ticks = start;
    let mut symbols = arrivals
        .iter()
        .map(|arrival| {
            let Some(at) = arrival else { return 0_u16 };
            let delta = at.div_euclid(DELTA_MICROS) - ticks;
            ticks += delta;
            if u8::try_from(delta).is_ok() { 1 } else { 2 }
        })
        .peekable();
    // The symbols that have been read but not written yet, at most seven.
    let mut vector = [0_u16; 7];
    let mut held = 0;
    loop {
        let (Some(first), true) = (vector.first().copied(), held == vector.len()) else {
            match (symbols.next(), vector.get_mut(held)) {
                (Some(symbol), Some(place)) => {
                    *place = symbol;
                    held += 1;
                    continue;
                }
                _ => break,
            }
        };
        if vector.iter().all(|symbol| *symbol == first) {
            let mut run = 7_u16;
            while run < 0x1fff && symbols.next_if_eq(&first).is_some() {
                run += 1;
            }
            writer.u16(first << 13 | run);
        } else {
            writer.u16(vector_chunk(&vector));
        }
        held = 0;
    }
    if let Some(rest) = vector.get_mut(held..) {
        rest.fill(0);
    }
    if held > 0 {
        writer.u16(vector_chunk(&vector));
    }
}

fn vector_chunk(symbols: &[u16; 7]) -> u16 {
    symbols.iter().fold(3, |chunk, symbol| chunk << 2 | symbol)
}
