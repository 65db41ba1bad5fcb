//! Framing of messages in a TCP or TLS stream (RFC 8656, sections 3.1 and 12.5).

use thiserror::Error;

use super::check::{HEADER, Kind, classify};

/// The frame at the beginning of a stream's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// A whole message of `message` bytes; the next one begins after `consumed` bytes.
    Whole {
        /// Length of the message without the padding that follows it, in bytes.
        message: usize,
        /// Length with padding, in bytes.
        consumed: usize,
    },
    /// More bytes are needed.
    Partial,
}

/// The stream is neither STUN nor `ChannelData`; the next message in it cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stream carries neither STUN nor ChannelData")]
pub struct FrameError;

/// Looks at the beginning of `buffer`.
pub fn next_frame(buffer: &[u8]) -> Result<Frame, FrameError> {
    let kind = match buffer.first() {
        None => return Ok(Frame::Partial),
        Some(_) => classify(buffer),
    };
    let Some(&[_, _, l0, l1]) = buffer.first_chunk::<4>() else {
        return if matches!(kind, Kind::Stun | Kind::ChannelData) {
            Ok(Frame::Partial)
        } else {
            Err(FrameError)
        };
    };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let (message, consumed) = match kind {
        Kind::Stun if length.is_multiple_of(4) => (HEADER + length, HEADER + length),
        Kind::ChannelData => (4 + length, 4 + length.next_multiple_of(4)),
        _ => return Err(FrameError),
    };
    if buffer.len() < consumed {
        return Ok(Frame::Partial);
    }
    Ok(Frame::Whole { message, consumed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_stun_and_padded_channel_data() {
        let mut stun = vec![0, 1, 0, 4];
        stun.extend([0; 20]);
        assert_eq!(next_frame(&stun), Ok(Frame::Whole { message: 24, consumed: 24 }));
        assert_eq!(next_frame(&stun[..23]), Ok(Frame::Partial));
        let data = [0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
        assert_eq!(next_frame(&data), Ok(Frame::Whole { message: 9, consumed: 12 }));
        assert_eq!(next_frame(&data[..11]), Ok(Frame::Partial));
    }

    #[test]
    fn refuses_what_can_not_be_framed() {
        assert_eq!(
            next_frame(b"GET / HTTP/1.1").map(|frame| matches!(frame, Frame::Partial)),
            Ok(true),
            "'G' is a channel's first byte"
        );
        assert_eq!(next_frame(&[0xff]), Err(FrameError));
        assert_eq!(next_frame(&[0, 1, 0, 3]), Err(FrameError));
    }
}
