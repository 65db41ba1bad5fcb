//! Opus (RFC 7587), with or without redundancy (RFC 2198).

use super::frame::{Frame, Payload};
use crate::format::Format;

/// A packet that decodes to 20 ms of silence: CELT, full band, mono, one frame.
pub(crate) const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// The duration of [`SILENCE`] in samples.
pub(crate) const SILENCE_TICKS: u64 = 960;

/// The frame of an audio packet; `None` if the packet contains no audio.
pub(super) fn frame(timestamp: u32, packet: &[u8]) -> Option<Frame> {
    duration_ticks(packet)?;
    Some(Frame { timestamp, data: packet.to_vec(), format: Some(Format::Opus) })
}

/// The duration of a packet in samples at 48 kHz (RFC 6716 section 3.1); `None` if it is zero or more than 120 ms.
pub(crate) fn duration_ticks(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..12 => [480, 960, 1920, 2880].get(usize::from(config % 4)).copied()?,
        // Hybrid: 10, 20 ms.
        12..16 => [480, 960].get(usize::from(config % 2)).copied()?,
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [120, 240, 480, 960].get(usize::from(config % 4)).copied()?,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    let ticks = frame * frames;
    (1..=5_760).contains(&ticks).then_some(ticks)
}

/// Extracts the blocks of a redundant payload, oldest first. Duplicates of earlier packets are dropped
/// by their timestamps later.
pub(super) fn red(payload: &Payload<'_>, frames: &mut Vec<Frame>) {
    let mut headers: Vec<(u32, usize)> = Vec::new();
    let mut rest = payload.bytes;
    loop {
        match *rest {
            [first, second, third, fourth, ref tail @ ..] if first & 0x80 != 0 => {
                let offset = u32::from(second) << 6 | u32::from(third) >> 2;
                let len = usize::from(third & 3) << 8 | usize::from(fourth);
                headers.push((offset, len));
                rest = tail;
            }
            [_, ref tail @ ..] => {
                rest = tail;
                break;
            }
            [] => return,
        }
    }
    for (offset, len) in headers {
        let Some((block, tail)) = rest.split_at_checked(len) else { return };
        frames.extend(frame(payload.timestamp.wrapping_sub(offset), block));
        rest = tail;
    }
    frames.extend(frame(payload.timestamp, rest));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_say_how_long_they_last() {
        assert_eq!(duration_ticks(&SILENCE), Some(SILENCE_TICKS));
        assert_eq!(duration_ticks(&[0x78]), Some(960), "hybrid, 20 ms");
        assert_eq!(duration_ticks(&[0x18]), Some(2_880), "SILK, 60 ms");
        assert_eq!(duration_ticks(&[0xfb, 3]), Some(2_880), "three of 20 ms");
        assert_eq!(duration_ticks(&[0xfb, 48]), None, "more than 120 ms");
        assert_eq!(duration_ticks(&[0xfb]), None);
        assert_eq!(duration_ticks(&[]), None);
    }

    #[test]
    fn redundant_blocks_come_out_oldest_first() {
        // 960 ticks earlier, two bytes; then the newest block.
        let bytes = [0xef, 15, 0, 2, 0x6f, 0x78, 1, 0x78, 2, 3];
        let mut frames = Vec::new();
        red(&Payload { timestamp: 5_000, marker: false, bytes: &bytes }, &mut frames);
        let seen: Vec<_> = frames.iter().map(|frame| (frame.timestamp, frame.data.clone())).collect();
        assert_eq!(seen, [(4_040, vec![0x78, 1]), (5_000, vec![0x78, 2, 3])]);
    }
}
