//! WebSocket frames (RFC 6455 section 5), the server's side, without extensions.
//!
//! An idle connection holds no buffer: incomplete data lies in vectors that are freed afterwards.

use crate::duplex::Fault;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A complete text message.
    Text(String),
    /// A binary message, whose content is dropped.
    Binary,
    /// A ping, which needs a pong with the same content.
    Ping(Vec<u8>),
    /// A pong, which needs no answer.
    Pong,
    /// The client closes, with this code if it gave one.
    Close(Option<u16>),
}

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The head of an unmasked, final frame to a client, and how many of its bytes are used.
pub(super) fn head(opcode: Opcode, length: usize) -> ([u8; 10], u8) {
    let mut head = [0; 10];
    let first = FINAL | opcode as u8;
    let mut put = |bytes: &[u8]| head.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=LONGEST_CONTROL), _) => {
            put(&[first, length]);
            (head, 2)
        }
        (_, Ok(length)) => {
            let [high, low] = length.to_be_bytes();
            put(&[first, LENGTH_16, high, low]);
            (head, 4)
        }
        _ => {
            put(&[first, LENGTH_64]);
            let length = (length as u64).to_be_bytes();
            head.iter_mut().skip(2).zip(length).for_each(|(slot, byte)| *slot = byte);
            (head, 10)
        }
    }
}

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
/// The greatest length of a control frame, and of a length in one byte.
const LONGEST_CONTROL: u8 = 125;

/// Assembles messages from received bytes.
#[derive(Debug)]
pub(super) struct Reader {
    /// Bytes that have not been parsed yet.
    held: Vec<u8>,
    /// The frames so far of an incomplete message, and its type.
    message: Vec<u8>,
    fragmented: Option<Opcode>,
    largest: usize,
}

struct Head {
    is_final: bool,
    opcode: Opcode,
    mask: [u8; 4],
    start: usize,
    length: usize,
}

impl Reader {
    /// A reader for messages of at most `largest` bytes.
    pub(super) fn new(largest: usize) -> Self {
        Self { held: Vec::new(), message: Vec::new(), fragmented: None, largest }
    }

    /// Adds received bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Drops the parsed bytes.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// The next complete message or control frame, if there is one. After a fault, nothing more can be read.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, Fault> {
        loop {
            let Some(head) = self.head()? else { return Ok(None) };
            let Head { is_final, opcode, mask, start, length } = head;
            let is_last = self.held.len() == start + length;
            let Some(payload) = self.held.get_mut(start..start + length) else { return Ok(None) };
            unmask(payload, mask);
            let mut payload = if is_last {
                let mut whole = std::mem::take(&mut self.held);
                whole.drain(..start);
                whole
            } else {
                let payload = payload.to_vec();
                self.held.drain(..start + length);
                payload
            };
            match opcode {
                Opcode::Ping => return Ok(Some(Incoming::Ping(payload))),
                Opcode::Pong => return Ok(Some(Incoming::Pong)),
                Opcode::Close => return close_code(&payload).map(|code| Some(Incoming::Close(code))),
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {}
            }
            let kind = self.fragmented.take().unwrap_or(opcode);
            if !self.message.is_empty() {
                self.message.append(&mut payload);
                payload = std::mem::take(&mut self.message);
            }
            if !is_final {
                (self.message, self.fragmented) = (payload, Some(kind));
                continue;
            }
            return match kind {
                Opcode::Text => match String::from_utf8(payload) {
                    Ok(text) => Ok(Some(Incoming::Text(text))),
                    Err(_) => Err(Fault::Encoding),
                },
                _ => Ok(Some(Incoming::Binary)),
            };
        }
    }

    /// The head of the next frame, once it is complete. Errors are reported before the payload has come.
    fn head(&self) -> Result<Option<Head>, Fault> {
        let &[first, second, ref rest @ ..] = self.held.as_slice() else { return Ok(None) };
        let opcode = Opcode::parse(first & 0x0f).ok_or(Fault::Protocol)?;
        let is_final = first & FINAL != 0;
        let short = second & !MASKED;
        let continues = opcode == Opcode::Continuation;
        let is_wrong = first & RESERVED != 0
            || second & MASKED == 0
            || (opcode.is_control() && (!is_final || short > LONGEST_CONTROL))
            || (!opcode.is_control() && continues != self.fragmented.is_some());
        if is_wrong {
            return Err(Fault::Protocol);
        }
        let (length, extended) = match short {
            LENGTH_16 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2),
            LENGTH_64 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8),
            short => (Some(u64::from(short)), 0),
        };
        let Some(length) = length else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // A control frame may come within a message, and does not add to its length.
        let before = if opcode.is_control() { 0 } else { self.message.len() };
        if length.saturating_add(before) > self.largest {
            return Err(Fault::TooLarge);
        }
        let mask = rest.get(extended..).and_then(<[u8]>::first_chunk::<4>);
        Ok(mask.map(|mask| Head { is_final, opcode, mask: *mask, start: 2 + extended + 4, length }))
    }
}

/// Removes the mask, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<8>();
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// The code of a close frame (RFC 6455 section 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::Protocol) };
    };
    let code = u16::from_be_bytes(*code);
    let is_known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if is_known && std::str::from_utf8(reason).is_ok() { Ok(Some(code)) } else { Err(Fault::Protocol) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let (mut bytes, length) = head(Opcode::Text, payload.len());
        bytes[0] = first;
        bytes[1] |= MASKED;
        let mut frame = bytes[..usize::from(length)].to_vec();
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn read(bytes: &[u8]) -> Result<Vec<Incoming>, Fault> {
        let mut reader = Reader::new(1 << 20);
        reader.push(bytes);
        let mut messages = Vec::new();
        while let Some(message) = reader.next()? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn texts_of_every_length_come_whole_or_byte_by_byte() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let text = "x".repeat(length);
            let sent = frame(0x81, text.as_bytes());
            assert_eq!(read(&sent).unwrap(), [Incoming::Text(text.clone())]);
            let mut reader = Reader::new(1 << 20);
            for byte in &sent[..sent.len() - 1] {
                reader.push(&[*byte]);
                assert_eq!(reader.next(), Ok(None));
            }
            reader.push(&sent[sent.len() - 1..]);
            assert_eq!(reader.next(), Ok(Some(Incoming::Text(text))));
            assert_eq!(reader.held.capacity(), 0, "nothing is held on to");
        }
    }

    #[test]
    fn control_frames_come_between_fragments() {
        let sent =
            [frame(0x01, b"gr"), frame(0x89, b"?"), frame(0x00, "\u{fc}".as_bytes()), frame(0x80, b"n")];
        let expected = [Incoming::Ping(b"?".to_vec()), Incoming::Text("gr\u{fc}n".into())];
        assert_eq!(read(&sent.concat()).unwrap(), expected);
        // A character may be split across frames.
        let sent = [frame(0x01, &[0xc3]), frame(0x80, &[0xbc])];
        assert_eq!(read(&sent.concat()).unwrap(), [Incoming::Text("\u{fc}".into())]);
        assert_eq!(read(&[frame(0x02, b""), frame(0x80, b"")].concat()).unwrap(), [Incoming::Binary]);
    }

    #[test]
    fn what_no_client_may_send_is_a_fault() {
        let protocol = [
            ("not masked", vec![0x81, 0x01, b'x']),
            ("a reserved bit", frame(0xc1, b"x")),
            ("a reserved opcode", frame(0x83, b"x")),
            ("nothing to continue", frame(0x80, b"x")),
            ("a message within a message", [frame(0x01, b"x"), frame(0x81, b"x")].concat()),
            ("a fragmented control frame", frame(0x09, b"x")),
            ("an oversized control frame", frame(0x89, &[0; 126])),
            ("half a code", frame(0x88, &[3])),
            ("the code 1005, which is never sent", frame(0x88, &[0x03, 0xed])),
            ("a reason that is not UTF-8", frame(0x88, &[0x03, 0xe8, 0xff])),
        ];
        for (fault, sent) in protocol {
            assert_eq!(read(&sent), Err(Fault::Protocol), "{fault}");
        }
        assert_eq!(read(&frame(0x81, &[0xff])), Err(Fault::Encoding));
        assert_eq!(read(&frame(0x88, &[0x03, 0xe8, b'x'])).unwrap(), [Incoming::Close(Some(1000))]);
    }

    #[test]
    fn what_is_too_large_is_refused_by_its_head_alone() {
        let mut reader = Reader::new(10);
        reader.push(&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(reader.next(), Err(Fault::TooLarge));
        let mut reader = Reader::new(10);
        reader.push(&frame(0x01, b"123456"));
        assert_eq!(reader.next(), Ok(None));
        reader.push(&frame(0x80, b"78901")[..6]);
        assert_eq!(reader.next(), Err(Fault::TooLarge), "fragments count together");
    }
}
