//! Redundant audio (RFC 2198), whose blocks contain the payload type of their data.

/// Writes `payload_type` into every block header, because the receiver may use another payload type
/// for Opus than the sender.
pub(crate) fn rename(payload: &mut [u8], payload_type: u8) {
    let mut at = 0;
    while let Some(header) = payload.get_mut(at) {
        let more = *header & 0x80;
        *header = more | payload_type & 0x7f;
        if more == 0 {
            return;
        }
        at += 4;
    }
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
    fn renames_every_block() {
        let mut payload = [0x80 | 111, 1, 2, 3, 0x80 | 111, 4, 5, 6, 111, 0xff, 0xff];
        rename(&mut payload, 96);
        assert_eq!(payload, [0x80 | 96, 1, 2, 3, 0x80 | 96, 4, 5, 6, 96, 0xff, 0xff]);
        rename(&mut [0x80; 3], 5);
        rename(&mut [], 5);
    }
}
