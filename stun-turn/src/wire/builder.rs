//! Writing messages.

use std::net::SocketAddr;

use stun_types::attribute::{Attribute as _, AttributeType, ErrorCode, RawAttribute};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec, Method,
};

use super::attribute as attr;
use super::integrity::{IntegrityAlgorithm, Key};
use super::request::AddressFamily;

/// Ninety-six bits that match a response to its request (RFC 8489, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionId(pub [u8; 12]);

impl TransactionId {
    /// Reads it from a header.
    pub fn of(message: &[u8]) -> Option<Self> {
        message.get(8..20)?.first_chunk::<12>().copied().map(Self)
    }

    fn number(self) -> u128 {
        self.0.iter().fold(0, |number, &byte| (number << 8) | u128::from(byte))
    }

    fn mask(self) -> [u8; 16] {
        let mut mask = [0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        if let Some(tail) = mask.last_chunk_mut::<12>() {
            *tail = self.0;
        }
        mask
    }
}

/// The parts of a request that its response repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyTo {
    pub(crate) method: u16,
    pub(crate) transaction: TransactionId,
    pub(crate) has_fingerprint: bool,
}

/// A message under construction.
#[derive(Debug)]
pub struct MessageBuilder {
    message: MessageWriteVec,
    mask: [u8; 16],
    has_fingerprint: bool,
}

impl MessageBuilder {
    /// A success response to `request`.
    pub fn success(request: ReplyTo) -> Self {
        Self::new(MessageClass::Success, request)
    }

    /// An error response to `request` with `code` and its standard phrase.
    pub fn error(request: ReplyTo, code: u16) -> Self {
        let mut reply = Self::new(MessageClass::Error, request);
        let phrase = ErrorCode::default_reason_for_code(code);
        let [class, number] = error_code(code);
        let mut value = vec![0, 0, class, number];
        value.extend_from_slice(phrase.as_bytes());
        reply.bytes(attr::ERROR_CODE, &value);
        reply
    }

    /// A request, as a client makes it.
    pub fn request(method: u16, transaction: TransactionId) -> Self {
        Self::new(MessageClass::Request, ReplyTo { method, transaction, has_fingerprint: false })
    }

    /// Ends the message with FINGERPRINT.
    #[must_use]
    pub fn with_fingerprint(mut self) -> Self {
        self.has_fingerprint = true;
        self
    }

    /// An indication.
    pub fn indication(method: u16, transaction: TransactionId) -> Self {
        Self::new(MessageClass::Indication, ReplyTo { method, transaction, has_fingerprint: false })
    }

    fn new(class: MessageClass, to: ReplyTo) -> Self {
        let kind = MessageType::from_class_method(class, Method::new(to.method));
        let writer = MessageWriteVec::with_capacity(160);
        let message = Message::builder(kind, to.transaction.number().into(), writer);
        Self { message, mask: to.transaction.mask(), has_fingerprint: to.has_fingerprint }
    }

    /// Adds an attribute as it is.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let attribute = RawAttribute::new(AttributeType::new(kind), value);
        if self.message.add_attribute(&attribute).is_err() {
            tracing::debug!(kind, "an attribute did not fit into its message");
        }
    }

    /// Adds an address combined with the transaction id.
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) {
        let mut value = [0; attr::MAX_ADDRESS];
        let length = attr::write_xor_address(address, &self.mask, &mut value);
        self.bytes(kind, value.get(..length).unwrap_or_default());
    }

    /// Adds an address in the clear.
    pub fn address(&mut self, kind: u16, address: SocketAddr) {
        let mut value = [0; attr::MAX_ADDRESS];
        let length = attr::write_address(address, &mut value);
        self.bytes(kind, value.get(..length).unwrap_or_default());
    }

    /// Adds the error of the family that has no relay to a success response (RFC 8656, section 18.12).
    pub fn address_error(&mut self, family: AddressFamily, code: u16) {
        let [class, number] = error_code(code);
        let mut value = vec![family.number(), 0, class, number];
        value.extend_from_slice(ErrorCode::default_reason_for_code(code).as_bytes());
        self.bytes(attr::ADDRESS_ERROR_CODE, &value);
    }

    /// Adds the types that were not understood (RFC 8489, section 14.9).
    pub fn unknown_attributes(&mut self, kinds: &[u16]) {
        let value: Vec<u8> = kinds.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        self.bytes(attr::UNKNOWN_ATTRIBUTES, &value);
    }

    /// Adds integrity when there is a key for it, a fingerprint when there is to be one, and gives the bytes.
    pub fn finish(mut self, integrity: Option<(&Key, IntegrityAlgorithm)>) -> Vec<u8> {
        if let Some((key, algorithm)) = integrity {
            let (kind, zeros): (u16, &[u8]) = match algorithm {
                IntegrityAlgorithm::Sha1 => (attr::MESSAGE_INTEGRITY, &[0; 20]),
                IntegrityAlgorithm::Sha256 => (attr::MESSAGE_INTEGRITY_SHA256, &[0; 32]),
            };
            // stun-types ties the hash of the key to that of the integrity, which RFC 8489 does not; so the
            // value is computed here. Writing the attribute first makes the header's length count it.
            let attribute = RawAttribute::new(AttributeType::new(kind), zeros);
            debug_assert_eq!(usize::from(attribute.length()), zeros.len());
            self.message.push_attribute_unchecked(&attribute);
            let at = self.message.len() - zeros.len();
            let signed = self.message.data().get(..at - 4).unwrap_or_default();
            let tag = key.sign(algorithm, &[signed]);
            if let Some(slot) = self.message.mut_data().get_mut(at..) {
                slot.copy_from_slice(tag.as_ref());
            }
        }
        if self.has_fingerprint && self.message.add_fingerprint().is_err() {
            tracing::debug!("a fingerprint did not fit into its message");
        }
        self.message.finish()
    }
}

/// The class and number of an error code as they stand on the wire (RFC 8489, section 14.8).
fn error_code(code: u16) -> [u8; 2] {
    let byte = |number: u16| u8::try_from(number).unwrap_or(0);
    [byte(code / 100), byte(code % 100)]
}
