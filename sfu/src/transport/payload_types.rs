//! The payload types of the server's offers on one connection.

use std::ops::RangeInclusive;

use crate::codec::{Codec, MediaKind};
use crate::sdp::{Feedback, WrittenCodec};

/// The payload types that the server assigns, in this order.
const DYNAMIC: RangeInclusive<u8> = 96..=127;

/// The payload type of each codec offered so far, and that of its retransmissions.
#[derive(Default)]
pub(crate) struct PayloadTypes(Vec<(Codec, u8, Option<u8>)>);

impl PayloadTypes {
    /// The codec as it is offered, with its assigned payload type. `None` if all payload types are in use.
    pub(crate) fn written(&mut self, codec: Codec, fmtp: &str) -> Option<WrittenCodec> {
        let fmtp = match codec {
            Codec::Red => {
                let (opus, _) = self.assign(Codec::Opus)?;
                format!("{opus}/{opus}")
            }
            _ => fmtp.to_owned(),
        };
        let (payload_type, rtx) = self.assign(codec)?;
        let feedback = match codec.kind() {
            MediaKind::Audio => Feedback { transport_cc: true, ..Feedback::default() },
            MediaKind::Video => {
                Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: false }
            }
        };
        Some(WrittenCodec { codec, payload_type, rtx, fmtp, feedback })
    }

    /// The payload types of a codec and of its retransmissions, which stay the same once they are assigned.
    fn assign(&mut self, codec: Codec) -> Option<(u8, Option<u8>)> {
        let table = &mut self.0;
        if let Some((_, payload_type, rtx)) = table.iter().find(|(known, ..)| *known == codec) {
            return Some((*payload_type, *rtx));
        }
        let used = |number: &u8| table.iter().any(|(_, a, b)| a == number || *b == Some(*number));
        let mut free = DYNAMIC.filter(|number| !used(number));
        let payload_type = free.next()?;
        let rtx = if codec.kind() == MediaKind::Video { Some(free.next()?) } else { None };
        table.push((codec, payload_type, rtx));
        Some((payload_type, rtx))
    }
}
