//! Reassembles a `ClientHello` that is fragmented, such as Chromium's, before the library reads it.

use std::ops::Range;

use super::messages::{
    CLIENT_HELLO, MESSAGE_HEADER, Message, Record, hide_slow_profile, write_message, write_record,
};

/// The longest `ClientHello`: post-quantum key shares take about 1,200 bytes each.
const MAX_LENGTH: usize = 8 * 1024;
/// Maximum number of gaps in a partial `ClientHello`. Clients send it in two or three fragments.
const MAX_HOLES: usize = 16;

/// Reassembles one `ClientHello`.
#[derive(Default)]
pub(super) struct HelloReader {
    number: [u8; 2],
    body: Vec<u8>,
    missing: Vec<Range<usize>>,
}

/// The result of reading a datagram.
pub(super) enum Read {
    /// The datagram is not part of a `ClientHello` and is passed to the library unchanged.
    Other,
    /// Further fragments are missing.
    Incomplete,
    /// This datagram is passed to the library instead.
    Complete(Vec<u8>),
}

impl HelloReader {
    pub(super) fn read(&mut self, datagram: &[u8]) -> Read {
        let mut rest = datagram;
        let mut complete = None;
        while !rest.is_empty() {
            let Some((record, next)) = Record::split(rest) else { return Read::Other };
            rest = next;
            if !record.is_plain_handshake() {
                return Read::Other;
            }
            let mut messages = record.fragment;
            while !messages.is_empty() {
                let Some((message, next)) = Message::split(messages) else { return Read::Other };
                messages = next;
                if message.kind != CLIENT_HELLO || message.length > MAX_LENGTH {
                    return Read::Other;
                }
                if let Some(hello) = self.take(&message) {
                    let mut fragment = Vec::with_capacity(hello.len() + MESSAGE_HEADER);
                    write_message(CLIENT_HELLO, message.number, &hello, &mut fragment);
                    let mut datagram = Vec::new();
                    write_record(record.head, &fragment, &mut datagram);
                    complete = Some(datagram);
                }
            }
        }
        complete.map_or(Read::Incomplete, Read::Complete)
    }

    /// Adds a fragment. Returns the complete message after the last one; the reader then starts again, because a client
    /// without a response retransmits everything.
    fn take(&mut self, message: &Message<'_>) -> Option<Vec<u8>> {
        if self.body.len() != message.length || self.number != message.number || self.missing.is_empty() {
            self.number = message.number;
            self.body.clear();
            self.body.resize(message.length, 0);
            self.missing.clear();
            self.missing.push(0..message.length);
        }
        let piece = message.offset..message.offset + message.part.len();
        self.body.get_mut(piece.clone())?.copy_from_slice(message.part);
        let holes = self.missing.iter().flat_map(|hole| {
            let before = hole.start..hole.end.min(piece.start);
            let after = hole.start.max(piece.end)..hole.end;
            [before, after]
        });
        let missing: Vec<_> = holes.filter(|hole| !hole.is_empty()).collect();
        if missing.len() <= MAX_HOLES {
            self.missing = missing;
        }
        self.missing.is_empty().then(|| {
            let mut hello = std::mem::take(&mut self.body);
            hide_slow_profile(&mut hello);
            hello
        })
    }
}
