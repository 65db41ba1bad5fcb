//! The lite side of ICE (RFC 8445 section 2.5): answers connectivity checks and never sends any.

use std::net::SocketAddr;

use rand::Rng;
use stun_types::attribute::{
    AttributeType, ErrorCode, Fingerprint, RawAttribute, Username, XorMappedAddress,
};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType, MessageWriteExt,
    MessageWriteMutSlice, ShortTermCredentials,
};
use stun_types::prelude::*;

use crate::wire::u16_at;

const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);
const ICE_CONTROLLED: AttributeType = AttributeType::new(0x8029);
/// The length of the server's user name fragments: two characters of shard index and 84 random bits.
const UFRAG_LEN: usize = 16;
const PASSWORD_LEN: usize = 24;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The server's user name fragment and password of one ICE session.
#[derive(Clone)]
pub struct Credentials {
    /// `ice-ufrag`; its first two characters name the shard that owns the transport.
    pub ufrag: String,
    /// `ice-pwd`.
    pub password: String,
    key: IntegrityKey,
}

impl Credentials {
    /// Generates credentials for a transport of the shard with this index.
    pub fn generate(shard: u16, rng: &mut impl Rng) -> Self {
        let mut ufrag = String::with_capacity(UFRAG_LEN);
        ufrag.push(letter(usize::from(shard) / 64));
        ufrag.push(letter(usize::from(shard)));
        ufrag.extend((2..UFRAG_LEN).map(|_| letter(rng.next_u32() as usize)));
        Self::new(ufrag, (0..PASSWORD_LEN).map(|_| letter(rng.next_u32() as usize)).collect())
    }

    /// Credentials from a description.
    pub fn new(ufrag: String, password: String) -> Self {
        let key = ShortTermCredentials::new(password.clone()).make_key();
        Self { ufrag, password, key }
    }
}

fn letter(index: usize) -> char {
    ALPHABET.get(index % ALPHABET.len()).map_or('A', |byte| char::from(*byte))
}

/// The shard encoded in a user name fragment; `None` if it has an invalid character.
pub fn shard_of(ufrag: &str) -> Option<u16> {
    let mut digits = ufrag.bytes().map(|byte| ALPHABET.iter().position(|letter| *letter == byte));
    let (high, low) = (digits.next()??, digits.next()??);
    u16::try_from(high * 64 + low).ok()
}

/// The server's half of the user name in a STUN message (RFC 8445 section 7.2.2), which identifies the transport and
/// its shard. It is read without parsing the message, which only the owning shard does.
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    std::str::from_utf8(user_name(datagram)?).ok()?.split_once(':').map(|(local, _)| local)
}

/// The user name in a STUN message.
pub(crate) fn user_name(datagram: &[u8]) -> Option<&[u8]> {
    const HEADER: usize = 20;
    const USERNAME: u16 = 6;
    let mut rest = datagram.get(HEADER..)?;
    loop {
        let (kind, len) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let value = rest.get(4..4 + len)?;
        if kind == USERNAME {
            return Some(value);
        }
        rest = rest.get(4 + len.next_multiple_of(4)..)?;
    }
}

/// A Binding request to the server that has not been authenticated yet.
pub struct Check<'a> {
    message: Message<'a>,
}

/// The result of authenticating a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The check is valid; `nominated` if the client selected the pair.
    Valid {
        /// Whether USE-CANDIDATE was present.
        nominated: bool,
    },
    /// The client claims the controlled role, which a lite agent always has.
    RoleConflict,
    /// The message integrity is wrong; the check is not answered.
    Unauthenticated,
}

impl<'a> Check<'a> {
    /// Parses a datagram that [`crate::demux::classify`] classified as STUN. `None` for anything but a Binding request.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let message = Message::from_bytes(datagram).ok()?;
        (message.get_type() == MessageType::from_class_method(MessageClass::Request, BINDING))
            .then_some(Self { message })
    }

    /// Verifies the request with the credentials of the transport that its user name identifies.
    pub fn verify(&self, credentials: &Credentials) -> Verdict {
        match self.message.validate_integrity_with_key(&credentials.key) {
            Ok(IntegrityAlgorithm::Sha1) => {}
            _ => return Verdict::Unauthenticated,
        }
        if self.message.has_attribute(ICE_CONTROLLED) {
            return Verdict::RoleConflict;
        }
        Verdict::Valid { nominated: self.message.has_attribute(USE_CANDIDATE) }
    }

    /// Writes the response to an authenticated check from `source` into `out` and returns its length.
    pub fn respond(
        &self,
        verdict: Verdict,
        source: SocketAddr,
        credentials: &Credentials,
        out: &mut [u8; 128],
    ) -> Option<usize> {
        let writer = MessageWriteMutSlice::new(out);
        let mut response = match verdict {
            Verdict::Valid { .. } => {
                let mut response = Message::builder_success(&self.message, writer);
                let mapped = XorMappedAddress::new(source, self.message.transaction_id());
                response.add_attribute(&mapped).ok()?;
                response
            }
            Verdict::RoleConflict => {
                let mut response = Message::builder_error(&self.message, writer);
                response.add_attribute(&ErrorCode::new(487, "Role Conflict").ok()?).ok()?;
                response
            }
            Verdict::Unauthenticated => return None,
        };
        response.add_message_integrity_with_key(&credentials.key, IntegrityAlgorithm::Sha1).ok()?;
        response.add_fingerprint().ok()?;
        Some(response.finish())
    }
}

/// Writes a connectivity check as a client sends it, for tests and load generators.
pub fn write_check(
    username: &str,
    password: &str,
    transaction: u128,
    nominate: bool,
    out: &mut [u8],
) -> Option<usize> {
    let message_type = MessageType::from_class_method(MessageClass::Request, BINDING);
    let mut request = Message::builder(message_type, transaction.into(), MessageWriteMutSlice::new(out));
    request.add_attribute(&Username::new(username).ok()?).ok()?;
    request.add_attribute(&RawAttribute::new(0x0024.into(), &[0x6e, 0x7f, 0xff, 0xff])).ok()?;
    request.add_attribute(&RawAttribute::new(0x802a.into(), &[7; 8])).ok()?;
    if nominate {
        request.add_attribute(&RawAttribute::new(USE_CANDIDATE, &[])).ok()?;
    }
    let key = ShortTermCredentials::new(password.to_owned()).make_key();
    request.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).ok()?;
    request.add_fingerprint().ok()?;
    Some(request.finish())
}

/// Whether the response reports success.
pub fn is_success(datagram: &[u8]) -> bool {
    Message::from_bytes(datagram).is_ok_and(|message| {
        message.class() == MessageClass::Success && message.has_attribute(Fingerprint::TYPE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_names_its_transport_before_it_is_parsed() {
        let mut buf = [0; 256];
        let len = write_check("ours:theirs", "a password", 7, true, &mut buf).unwrap();
        assert_eq!(local_ufrag(&buf[..len]), Some("ours"));
        for cut in 0..len {
            assert!(local_ufrag(&buf[..cut]).is_none_or(|ufrag| ufrag == "ours"), "{cut}");
        }
        assert_eq!(local_ufrag(&[0; 20]), None);
    }
}
