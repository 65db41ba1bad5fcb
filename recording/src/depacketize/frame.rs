//! The frames that depacketizers assemble from payloads.

use crate::format::Format;

/// A payload with the fields of its RTP header. Payloads are passed in order and without gaps; after a gap,
/// [`Depacketizer::reset`](super::Depacketizer::reset) is called.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The RTP timestamp.
    pub timestamp: u32,
    /// The marker bit, which is set on the last packet of a picture.
    pub marker: bool,
    /// The payload bytes.
    pub bytes: &'a [u8],
}

/// A complete picture or audio packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The RTP timestamp.
    pub timestamp: u32,
    /// The encoded data. In H.264, each NAL unit is preceded by a length of four bytes; in AV1,
    /// each OBU has a size field.
    pub data: Vec<u8>,
    /// The format with which a decoder can start at this frame; `None` if it cannot start here.
    pub format: Option<Format>,
}

/// A frame that is being assembled. Packets before the first one of a picture are dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembly {
    timestamp: u32,
    pub(super) data: Vec<u8>,
    begun: bool,
}

/// The largest frame that is assembled; a larger one is an attack or an error.
pub(super) const MAX_FRAME: usize = 8 << 20;

impl Assembly {
    pub(super) fn begin(&mut self, timestamp: u32) {
        self.data.clear();
        self.timestamp = timestamp;
        self.begun = true;
    }

    pub(super) fn is_at(&self, timestamp: u32) -> bool {
        self.begun && self.timestamp == timestamp
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.data.len() + bytes.len() > MAX_FRAME {
            self.reset();
        } else {
            self.data.extend_from_slice(bytes);
        }
    }

    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let is_whole = std::mem::take(&mut self.begun) && !self.data.is_empty();
        is_whole.then(|| std::mem::take(&mut self.data))
    }

    pub(super) fn reset(&mut self) {
        self.begun = false;
        self.data.clear();
    }
}
