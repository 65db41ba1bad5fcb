//! Wire formats of the three transports, as far as the load needs them.

use std::ops::Range;

/// A complete frame, chunk or head at the beginning of the input.
pub(super) struct Piece {
    /// The opcode of a WebSocket frame.
    pub(super) opcode: u8,
    /// The range of its content.
    pub(super) content: Range<usize>,
    /// The start of the next one.
    pub(super) end: usize,
}

pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// A client's text frame (RFC 6455 section 5.2), masked with zeros.
pub(super) fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 14);
    frame.push(FINAL | TEXT);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => frame.push(MASKED | length),
        (_, Ok(length)) => {
            frame.push(MASKED | LENGTH_16);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(MASKED | LENGTH_64);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

/// The first frame of the server, if it is complete.
pub(super) fn frame(bytes: &[u8]) -> Option<Piece> {
    let &[first, second, ref rest @ ..] = bytes else { return None };
    let (start, length) = match second & !MASKED {
        LENGTH_16 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        LENGTH_64 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let end = start + length;
    (bytes.len() >= end).then_some(Piece { opcode: first & 0x0f, content: start..end, end })
}

/// The first chunk of a chunked body (RFC 9112 section 7.1), if it is complete.
pub(super) fn chunk(bytes: &[u8]) -> Option<Piece> {
    let line = bytes.iter().take(20).position(|byte| *byte == b'\n')?;
    let size = std::str::from_utf8(bytes.get(..line)?).ok()?.trim();
    let size = usize::from_str_radix(size, 16).ok()?;
    let (start, end) = (line + 1, line + 1 + size + 2);
    (bytes.len() >= end).then_some(Piece { opcode: TEXT, content: start..start + size, end })
}

/// An HTTP head, if it is complete.
pub(super) fn head(bytes: &[u8]) -> Option<Piece> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    Some(Piece { opcode: TEXT, content: 0..end, end })
}

/// The content of a chat message's text, between two marks that occur nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The sending client.
    pub(crate) sender: usize,
    /// The sequence number at that client.
    pub(crate) number: u64,
    /// The sending time, in nanoseconds since the start of the load.
    pub(crate) nanos: u64,
}

const MARK: u8 = b'@';

impl Stamp {
    /// A text with the stamp, padded to `size` bytes.
    pub(crate) fn text(self, size: usize) -> String {
        let Self { sender, number, nanos } = self;
        let mark = char::from(MARK);
        format!("{:.<size$}", format!("{mark}{sender}:{number}:{nanos}{mark}"))
    }

    /// The stamp of an event, if it is a chat message.
    pub(crate) fn of(event: &[u8]) -> Option<Self> {
        let start = event.iter().position(|byte| *byte == MARK)? + 1;
        let stamp = event.get(start..)?;
        let stamp = stamp.get(..stamp.iter().position(|byte| *byte == MARK)?)?;
        let mut numbers = stamp.split(|byte| *byte == b':').map(number);
        let sender = usize::try_from(numbers.next()??).ok()?;
        Some(Self { sender, number: numbers.next()??, nanos: numbers.next()?? })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The number of an event, which comes first.
pub(super) fn event_id(event: &[u8]) -> Option<u64> {
    let digits = event.strip_prefix(br#"{"id":"#)?;
    number(digits.get(..digits.iter().position(|byte| *byte == b',')?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut sent = text_frame(&vec![b'x'; length]);
            let start = sent.len() - length - 4;
            // Frames of servers are not masked.
            sent.drain(start..start + 4);
            sent[1] &= 0x7f;
            let piece = frame(&sent).unwrap();
            assert_eq!((piece.content.len(), piece.end), (length, sent.len()));
            assert!(frame(&sent[..sent.len() - 1]).is_none());
        }
    }

    #[test]
    fn a_stamp_survives_its_text() {
        let stamp = Stamp { sender: 7, number: 12, nanos: 99 };
        let text = stamp.text(60);
        assert_eq!(text.len(), 60);
        let event = format!(r#"{{"id":42,"type":"chat","text":"{text}"}}"#);
        assert_eq!(Stamp::of(event.as_bytes()), Some(stamp));
        assert_eq!(event_id(event.as_bytes()), Some(42));
        assert_eq!(Stamp::of(br#"{"type":"ping"}"#), None);
    }

    #[test]
    fn chunks_come_whole() {
        let piece = chunk(b"5\r\nhello\r\n6\r").unwrap();
        assert_eq!((piece.content, piece.end), (3..8, 10));
        assert!(chunk(b"5\r\nhello\r").is_none());
    }
}
