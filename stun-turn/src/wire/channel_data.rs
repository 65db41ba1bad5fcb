//! `ChannelData` (RFC 8656, section 12.4), and the framing of a payload for a client.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::attribute::{DATA, MAX_ADDRESS, XOR_PEER_ADDRESS, write_xor_address};

/// Channel numbers that may be bound. RFC 8656 keeps 0x5000 and up for later; RFC 5766 did not, and its
/// clients are still in use.
pub const CHANNEL_NUMBERS: RangeInclusive<u16> = 0x4000..=0x7fff;

/// One `ChannelData` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel it came on.
    pub channel: u16,
    /// The payload to relay.
    pub payload: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads a message from a datagram or a frame. Up to three bytes of padding may follow the payload; more than that,
    /// or a length past the end, is refused.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let (&[c0, c1, l0, l1], rest) = message.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let (payload, padding) = rest.split_at_checked(length)?;
        if padding.len() > 3 {
            return None;
        }
        Some(Self { channel: u16::from_be_bytes([c0, c1]), payload })
    }
}

/// The bytes before and after a payload that is relayed to a client: the header of `ChannelData`, or a Data
/// indication around it.
#[derive(Debug, Clone, Copy)]
pub struct DataPrefix {
    bytes: [u8; 48],
    length: u8,
    padding: u8,
}

impl DataPrefix {
    /// `ChannelData` on `channel`. Padded to four bytes on streams only (RFC 8656, section 12.5).
    pub fn channel(channel: u16, payload: usize, is_stream: bool) -> Self {
        let [c0, c1] = channel.to_be_bytes();
        let [l0, l1] = length_field(payload);
        let mut bytes = [0; 48];
        if let Some(head) = bytes.first_chunk_mut::<4>() {
            *head = [c0, c1, l0, l1];
        }
        Self { bytes, length: 4, padding: if is_stream { padding(payload) } else { 0 } }
    }

    /// A Data indication from `peer` (RFC 8656, section 11.4).
    pub fn indication(peer: SocketAddr, payload: usize, transaction: [u8; 12]) -> Self {
        let mut mask = [0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        if let Some(tail) = mask.last_chunk_mut::<12>() {
            *tail = transaction;
        }
        let mut address = [0; MAX_ADDRESS];
        let address_length = write_xor_address(peer, &mask, &mut address);
        let padding = padding(payload);
        let body = 4 + address_length + 4 + payload + usize::from(padding);
        let mut bytes = [0; 48];
        let [a0, a1] = length_field(address_length);
        let [x0, x1] = XOR_PEER_ADDRESS.to_be_bytes();
        let [d0, d1] = DATA.to_be_bytes();
        let [p0, p1] = length_field(payload);
        let [b0, b1] = length_field(body);
        let parts: [&[u8]; 5] = [
            &[0x00, 0x17, b0, b1],
            &mask,
            &[x0, x1, a0, a1],
            address.get(..address_length).unwrap_or_default(),
            &[d0, d1, p0, p1],
        ];
        let mut at = 0;
        for part in parts {
            if let Some(slot) = bytes.get_mut(at..at + part.len()) {
                slot.copy_from_slice(part);
            }
            at += part.len();
        }
        Self { bytes, length: u8::try_from(at).unwrap_or(48), padding }
    }

    /// The bytes before the payload.
    pub fn head(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The zeros after it.
    pub fn tail(&self) -> &'static [u8] {
        match self.padding {
            1 => &[0],
            2 => &[0, 0],
            3 => &[0, 0, 0],
            _ => &[],
        }
    }
}

fn padding(payload: usize) -> u8 {
    match payload % 4 {
        0 => 0,
        1 => 3,
        2 => 2,
        _ => 1,
    }
}

/// A length as it stands in a header. A payload comes out of one datagram, so it is below 65,536; longer
/// ones are refused before this point.
fn length_field(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_data_with_and_without_padding() {
        let message = [0x40, 0x01, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
        let expected = ChannelData { channel: 0x4001, payload: &[1, 2, 3, 4, 5] };
        assert_eq!(ChannelData::parse(&message), Some(expected));
        assert_eq!(ChannelData::parse(&message[..9]), Some(expected));
    }

    #[test]
    fn channel_data_whose_length_lies_is_refused() {
        assert_eq!(ChannelData::parse(&[0x40, 0x01, 0, 5, 1, 2, 3, 4]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0x01, 0, 0, 1, 2, 3, 4]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0x01, 0]), None);
    }

    #[test]
    fn prefix_of_a_data_indication_is_a_valid_message() {
        for peer in ["192.0.2.7:9", "[2001:db8::7]:9"] {
            let payload = [7; 13];
            let prefix = DataPrefix::indication(peer.parse().unwrap(), payload.len(), [3; 12]);
            let message = [prefix.head(), &payload, prefix.tail()].concat();
            assert_eq!(super::super::check_stun(&message), Ok(()), "{message:?}");
        }
    }

    #[test]
    fn padding_on_streams_only() {
        assert_eq!(DataPrefix::channel(0x4000, 5, true).tail().len(), 3);
        assert_eq!(DataPrefix::channel(0x4000, 5, false).tail().len(), 0);
        assert_eq!(DataPrefix::channel(0x4000, 8, true).tail().len(), 0);
    }
}
