//! The strict check that every datagram passes before it is parsed.

use thiserror::Error;

/// Length of a STUN header in bytes (RFC 8489, section 5).
pub(crate) const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// A client's request is no longer than this; what is longer is data of an indication.
pub(crate) const MAX_REQUEST: usize = 2048;

/// What the first byte says a datagram is (RFC 7983, section 7, and RFC 8656, section 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A STUN message.
    Stun,
    /// `ChannelData`.
    ChannelData,
    /// A DTLS record.
    Dtls,
    /// None of these.
    Other,
}

/// Sorts a datagram by its first byte.
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram.first() {
        Some(0..=3) => Kind::Stun,
        Some(20..=63) => Kind::Dtls,
        Some(64..=127) => Kind::ChannelData,
        _ => Kind::Other,
    }
}

/// Why a message is not parsed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Shorter than a header, or without the magic cookie, or with one of the first two bits set.
    #[error("not a STUN message")]
    NotStun,
    /// The header's length is not a multiple of four, or not that of the message.
    #[error("the length in the header is not that of the message")]
    Length,
    /// An attribute reaches past the end.
    #[error("an attribute reaches past the end of the message")]
    Attribute,
}

/// Checks header, lengths and the chain of attributes of one whole STUN message.
///
/// `stun-types` takes a header length below the real one, or one that is no multiple of four; both are
/// refused here, as is an attribute chain that does not end exactly with the message.
pub fn check_stun(message: &[u8]) -> Result<(), Malformed> {
    let (header, mut rest) = message.split_first_chunk::<HEADER>().ok_or(Malformed::NotStun)?;
    let [a, _, l0, l1, c0, c1, c2, c3, ..] = *header;
    if a & 0xc0 != 0 || [c0, c1, c2, c3] != MAGIC_COOKIE {
        return Err(Malformed::NotStun);
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if !length.is_multiple_of(4) || length != rest.len() {
        return Err(Malformed::Length);
    }
    while let Some((&[_, _, l0, l1], after)) = rest.split_first_chunk::<4>() {
        let padded = usize::from(u16::from_be_bytes([l0, l1])).next_multiple_of(4);
        rest = after.get(padded..).ok_or(Malformed::Attribute)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(Malformed::Attribute) }
}

/// Class bits and method of a checked message: `(class, method)`, the class being 0 request, 1 indication,
/// 2 success, 3 error (RFC 8489, section 5).
pub fn message_type(message: &[u8]) -> Option<(u16, u16)> {
    let kind = u16::from_be_bytes(*message.first_chunk::<2>()?);
    let class = ((kind >> 7) & 2) | ((kind >> 4) & 1);
    let method = (kind & 0x000f) | ((kind >> 1) & 0x0070) | ((kind >> 2) & 0x0f80);
    Some((class, method))
}

/// The type of the attribute at the start of `rest`, its value, and what follows it.
pub(crate) fn next_attribute(rest: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[t0, t1, l0, l1], after) = rest.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let value = after.get(..length)?;
    Some((u16::from_be_bytes([t0, t1]), value, after.get(length.next_multiple_of(4)..)?))
}

/// The attributes of a checked message, types and values.
pub fn attributes(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = message.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (kind, value, after) = next_attribute(rest)?;
        rest = after;
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    #[test]
    fn accepts_a_message_of_exactly_its_length() {
        assert_eq!(check_stun(&BINDING), Ok(()));
    }

    #[test]
    fn refuses_lengths_that_lie() {
        let mut longer = BINDING.to_vec();
        longer.extend([0; 4]);
        assert_eq!(check_stun(&longer), Err(Malformed::Length));
        let mut odd = BINDING.to_vec();
        odd[3] = 3;
        odd.extend([0; 3]);
        assert_eq!(check_stun(&odd), Err(Malformed::Length));
        assert_eq!(check_stun(&BINDING[..19]), Err(Malformed::NotStun));
    }

    #[test]
    fn refuses_an_attribute_past_the_end() {
        let mut message = BINDING.to_vec();
        message[3] = 8;
        message.extend([0x80, 0x22, 0, 5, 1, 2, 3, 4]);
        assert_eq!(check_stun(&message), Err(Malformed::Attribute));
    }

    #[test]
    fn reads_class_and_method() {
        assert_eq!(message_type(&[0x00, 0x03]), Some((0, 3)));
        assert_eq!(message_type(&[0x00, 0x16]), Some((1, 6)));
        assert_eq!(message_type(&[0x01, 0x13]), Some((3, 3)));
        assert_eq!(message_type(&[0x01, 0x0a]), Some((2, 0xa)));
    }
}
