//! Classifies datagrams by their first bytes (RFC 7983, with the range of RFC 9443 for DTLS 1.3).

use crate::ice::user_name;
use crate::wire::{u8_at, u16_at};

/// The protocols that share the media port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// STUN (RFC 8489).
    Stun,
    /// DTLS, including DTLS 1.3, whose records may start with any byte up to 63.
    Dtls,
    /// SRTP.
    Rtp,
    /// SRTCP: the second byte is a packet type from 192 to 223 (RFC 5761 section 4).
    Rtcp,
}

/// Classifies a datagram; `None` if it is of no supported protocol or too short.
pub fn classify(datagram: &[u8]) -> Option<Protocol> {
    match u8_at(datagram, 0)? {
        0..=3 if datagram.len() >= 20 && datagram.len().is_multiple_of(4) => {
            // A header length that contradicts the datagram's is rejected before parsing.
            let length = usize::from(u16_at(datagram, 2)?);
            (length + 20 == datagram.len()).then_some(Protocol::Stun)
        }
        20..=63 if datagram.len() >= 13 => Some(Protocol::Dtls),
        128..=191 => match u8_at(datagram, 1)? {
            192..=223 => (datagram.len() >= 8).then_some(Protocol::Rtcp),
            _ => (datagram.len() >= 12).then_some(Protocol::Rtp),
        },
        _ => None,
    }
}

/// Whether a datagram on a port that media and a relay share is the relay's: STUN and TURN by their methods, and TURN's
/// channels (RFC 8656 section 12). A Binding request with a user name is a connectivity check; one without asks for the
/// client's address. The sender does not matter: browsers send checks and TURN from one socket.
pub fn is_for_relay(datagram: &[u8]) -> bool {
    const BINDING_REQUEST: u16 = 0x0001;
    const SEND_INDICATION: u16 = 0x0016;
    /// Both bits of the class are clear in a request (RFC 8489 section 5).
    const CLASS: u16 = 0x0110;
    match u8_at(datagram, 0) {
        Some(0..=3) => match u16_at(datagram, 0) {
            Some(BINDING_REQUEST) => user_name(datagram).is_none(),
            Some(SEND_INDICATION) => true,
            Some(kind) => kind & CLASS == 0,
            None => false,
        },
        Some(64..=79) => true,
        _ => false,
    }
}

/// Whether an RTCP datagram starts with transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01
/// section 3.1). SRTCP leaves its type and format in clear text.
pub(crate) fn is_transport_feedback(rtcp: &[u8]) -> bool {
    const RTPFB: u8 = 205;
    const TRANSPORT_WIDE: u8 = 15;
    rtcp.first().is_some_and(|first| first & 0x1f == TRANSPORT_WIDE) && rtcp.get(1) == Some(&RTPFB)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        clippy::decimal_bitwise_operands,
        reason = "test code"
    )]

    use super::*;

    #[test]
    fn tells_the_four_protocols_apart() {
        let mut stun = vec![0; 28];
        stun[3] = 8;
        assert_eq!(classify(&stun), Some(Protocol::Stun));
        assert_eq!(classify(&[22; 13]), Some(Protocol::Dtls));
        assert_eq!(classify(&[63; 13]), Some(Protocol::Dtls));
        let mut media = [0x80; 12];
        media[1] = 96 | 0x80;
        assert_eq!(classify(&media), Some(Protocol::Rtp));
        media[1] = 200;
        assert_eq!(classify(&media), Some(Protocol::Rtcp));
    }

    #[test]
    fn a_relay_on_the_same_port_gets_stun_and_turn_that_is_no_connectivity_check() {
        let message = |kind: u16, attributes: &[u8]| {
            let mut message = kind.to_be_bytes().to_vec();
            message.extend((attributes.len() as u16).to_be_bytes());
            message.extend([0x21, 0x12, 0xa4, 0x42]);
            message.extend([7; 12]);
            message.extend(attributes);
            message
        };
        let (software, user) =
            ([0x80, 0x22, 0, 4, b't', b'e', b's', b't'], [0, 6, 0, 3, b'a', b':', b'b', 0]);
        let both = [software, user].concat();
        for (kind, attributes, expected) in [
            // Binding: a question for the client's address, and connectivity checks.
            (0x0001, &[][..], true),
            (0x0001, &software, true),
            (0x0001, &user, false),
            (0x0001, &both, false),
            // A keep-alive of ICE, and responses, which the server waits for from nobody.
            (0x0011, &[], false),
            (0x0101, &[], false),
            (0x0103, &user, false),
            // Allocate, Refresh, CreatePermission, ChannelBind, Connect, with or without a user name; Send; Data.
            (0x0003, &[], true),
            (0x0003, &user, true),
            (0x0004, &user, true),
            (0x0008, &user, true),
            (0x0009, &both, true),
            (0x000a, &user, true),
            (0x0016, &[], true),
            (0x0017, &[], false),
        ] {
            assert_eq!(is_for_relay(&message(kind, attributes)), expected, "{kind:#06x} {attributes:?}");
        }
        assert!(is_for_relay(&[0x40, 0, 0, 4, 1, 2, 3, 4]), "a channel");
        for first in [4, 19, 20, 63, 80, 127, 128, 191, 192, 255] {
            assert!(!is_for_relay(&[first; 40]), "{first}");
        }
        assert!(!is_for_relay(&[]) && !is_for_relay(&[0]) && is_for_relay(&[0, 1]));
    }

    #[test]
    fn drops_what_is_short_or_lies_about_its_length() {
        assert_eq!(classify(&[]), None);
        assert_eq!(classify(&[0; 20]).map(|_| ()), Some(()));
        assert_eq!(classify(&[0; 21]), None, "not a multiple of four");
        assert_eq!(classify(&[0; 24]), None, "the header says 0 and 4 bytes follow");
        assert_eq!(classify(&[22; 12]), None);
        assert_eq!(classify(&[0x80, 96, 0]), None);
        assert_eq!(classify(&[0x80]), None);
        assert_eq!(classify(&[64; 40]), None, "TURN channels are not spoken on the media port");
    }
}
