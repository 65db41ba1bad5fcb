//! The attributes of a client's message, parsed once.

use std::net::SocketAddr;

use stun_types::attribute::Attribute as _;
use stun_types::message::{Message, MessageClass, StunParseError};
use thiserror::Error;

use super::attribute as attr;
use super::builder::{ReplyTo, TransactionId};
use super::check::{Malformed, check_stun, next_attribute};
use super::integrity::IntegrityAlgorithm;

/// How many unknown attributes an answer lists.
const MAX_UNKNOWN: usize = 8;

/// The family of an address as attributes write it (RFC 8656, section 18.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// 0x01
    V4,
    /// 0x02
    V6,
}

impl AddressFamily {
    /// The family of `address`.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Why a message was not understood. None of these is answered: the sender may not be who it says.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Lengths that don't fit.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The codec refused it; a wrong FINGERPRINT is one reason.
    #[error("not a valid STUN message")]
    Stun(#[from] StunParseError),
    /// It is no request.
    #[error("not a request")]
    NotARequest,
}

/// An attribute that is there, but not in its form. Such a request is answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadAttribute;

/// Where MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Integrity<'a> {
    pub(crate) algorithm: IntegrityAlgorithm,
    /// Offset of the attribute in the message, in bytes.
    pub(crate) offset: usize,
    pub(crate) value: &'a [u8],
}

/// A request, its attributes sorted.
///
/// Only the first of several attributes of one type counts (RFC 8489, section 14), but for XOR-PEER-ADDRESS,
/// of which `CreatePermission` takes many; attributes after the integrity are not seen.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) method: u16,
    pub(crate) transaction: TransactionId,
    pub(crate) mask: [u8; 16],
    pub(crate) username: Option<&'a [u8]>,
    pub(crate) userhash: Option<&'a [u8]>,
    pub(crate) realm: Option<&'a [u8]>,
    pub(crate) nonce: Option<&'a [u8]>,
    pub(crate) password_algorithm: Option<&'a [u8]>,
    pub(crate) password_algorithms: Option<&'a [u8]>,
    pub(crate) integrity: Option<Integrity<'a>>,
    pub(crate) has_fingerprint: bool,
    pub(crate) unknown: [u16; MAX_UNKNOWN],
    pub(crate) unknown_count: usize,
    lifetime: Option<&'a [u8]>,
    requested_transport: Option<&'a [u8]>,
    requested_family: Option<&'a [u8]>,
    additional_family: Option<&'a [u8]>,
    even_port: Option<&'a [u8]>,
    reservation_token: Option<&'a [u8]>,
    channel_number: Option<&'a [u8]>,
    connection_id: Option<&'a [u8]>,
    change: Option<&'a [u8]>,
    response_port: Option<&'a [u8]>,
    pub(crate) dont_fragment: bool,
    pub(crate) mobility_ticket: Option<&'a [u8]>,
    pub(crate) padding: Option<&'a [u8]>,
    peers_at: Option<usize>,
}

impl<'a> Request<'a> {
    /// Reads a message that came from a client.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        check_stun(bytes)?;
        let message = Message::from_bytes(bytes)?;
        if message.class() != MessageClass::Request {
            return Err(ParseError::NotARequest);
        }
        let mut request = Self {
            bytes,
            method: message.method().value(),
            transaction: TransactionId::of(bytes).unwrap_or_default(),
            mask: attr::xor_mask(bytes).unwrap_or_default(),
            ..Self::default()
        };
        for (offset, attribute) in message.iter_attributes() {
            let start = offset + 4;
            let Some(value) = bytes.get(start..start + usize::from(attribute.length())) else { continue };
            request.take(attribute.get_type().value(), offset, value);
        }
        Ok(request)
    }

    /// What an answer needs to know.
    pub fn reply_to(&self) -> ReplyTo {
        ReplyTo { method: self.method, transaction: self.transaction, has_fingerprint: self.has_fingerprint }
    }

    fn take(&mut self, kind: u16, offset: usize, value: &'a [u8]) {
        let slot = match kind {
            attr::USERNAME => &mut self.username,
            attr::USERHASH => &mut self.userhash,
            attr::REALM => &mut self.realm,
            attr::NONCE => &mut self.nonce,
            attr::PASSWORD_ALGORITHM => &mut self.password_algorithm,
            attr::PASSWORD_ALGORITHMS => &mut self.password_algorithms,
            attr::LIFETIME => &mut self.lifetime,
            attr::REQUESTED_TRANSPORT => &mut self.requested_transport,
            attr::REQUESTED_ADDRESS_FAMILY => &mut self.requested_family,
            attr::ADDITIONAL_ADDRESS_FAMILY | attr::ADDITIONAL_ADDRESS_FAMILY_DRAFT => {
                &mut self.additional_family
            }
            attr::EVEN_PORT => &mut self.even_port,
            attr::RESERVATION_TOKEN => &mut self.reservation_token,
            attr::CHANNEL_NUMBER => &mut self.channel_number,
            attr::CONNECTION_ID => &mut self.connection_id,
            attr::CHANGE_REQUEST => &mut self.change,
            attr::RESPONSE_PORT => &mut self.response_port,
            attr::MOBILITY_TICKET => &mut self.mobility_ticket,
            attr::PADDING => &mut self.padding,
            attr::DONT_FRAGMENT => {
                self.dont_fragment = true;
                return;
            }
            attr::FINGERPRINT => {
                self.has_fingerprint = true;
                return;
            }
            attr::XOR_PEER_ADDRESS => {
                self.peers_at.get_or_insert(offset);
                return;
            }
            attr::MESSAGE_INTEGRITY => {
                self.integrity.get_or_insert(Integrity {
                    algorithm: IntegrityAlgorithm::Sha1,
                    offset,
                    value,
                });
                return;
            }
            attr::MESSAGE_INTEGRITY_SHA256 => {
                // The stronger one decides when both are there (RFC 8489, section 9.2.4).
                self.integrity = Some(Integrity { algorithm: IntegrityAlgorithm::Sha256, offset, value });
                return;
            }
            // DATA belongs to Send indications; in a request it is known and means nothing.
            attr::DATA | 0x8000.. => return,
            unknown => {
                if let Some(slot) = self.unknown.get_mut(self.unknown_count) {
                    *slot = unknown;
                    self.unknown_count += 1;
                }
                return;
            }
        };
        slot.get_or_insert(value);
    }

    /// The peers named, each with the outcome of reading its address.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Result<SocketAddr, BadAttribute>> + '_ {
        let end = self.integrity.map_or(self.bytes.len(), |integrity| integrity.offset);
        let mut rest = self.peers_at.and_then(|at| self.bytes.get(at..end)).unwrap_or_default();
        std::iter::from_fn(move || {
            loop {
                let (kind, value, after) = next_attribute(rest)?;
                rest = after;
                if kind == attr::XOR_PEER_ADDRESS {
                    return Some(attr::read_xor_address(value, &self.mask).ok_or(BadAttribute));
                }
            }
        })
    }

    /// Seconds (RFC 8656, section 18.2).
    pub(crate) fn lifetime(&self) -> Result<Option<u32>, BadAttribute> {
        Ok(fixed::<4>(self.lifetime)?.map(u32::from_be_bytes))
    }

    /// An IP protocol number: 17 UDP, 6 TCP.
    pub(crate) fn requested_transport(&self) -> Result<Option<u8>, BadAttribute> {
        Ok(fixed::<4>(self.requested_transport)?.map(|[protocol, ..]| protocol))
    }

    /// The outer `Result` is about the form, the inner one about the family: one that is not known is 440.
    pub(crate) fn requested_family(&self) -> Result<Option<Result<AddressFamily, u8>>, BadAttribute> {
        Ok(fixed::<4>(self.requested_family)?
            .map(|[family, ..]| AddressFamily::from_number(family).ok_or(family)))
    }

    pub(crate) fn additional_family(&self) -> Result<Option<Result<AddressFamily, u8>>, BadAttribute> {
        Ok(fixed::<4>(self.additional_family)?
            .map(|[family, ..]| AddressFamily::from_number(family).ok_or(family)))
    }

    /// `Some(true)`: the next higher port is to be reserved too.
    pub(crate) fn even_port(&self) -> Result<Option<bool>, BadAttribute> {
        Ok(fixed::<1>(self.even_port)?.map(|[flags]| flags & 0x80 != 0))
    }

    pub(crate) fn reservation_token(&self) -> Result<Option<[u8; 8]>, BadAttribute> {
        fixed::<8>(self.reservation_token)
    }

    pub(crate) fn channel_number(&self) -> Result<Option<u16>, BadAttribute> {
        Ok(fixed::<4>(self.channel_number)?.map(|[c0, c1, _, _]| u16::from_be_bytes([c0, c1])))
    }

    pub(crate) fn connection_id(&self) -> Result<Option<u32>, BadAttribute> {
        Ok(fixed::<4>(self.connection_id)?.map(u32::from_be_bytes))
    }

    /// The types of the mandatory attributes of RFC 5780 that are there: unknown ones, for a server without it.
    pub(crate) fn discovery_attributes(&self) -> impl Iterator<Item = u16> + '_ {
        [
            (attr::CHANGE_REQUEST, self.change),
            (attr::PADDING, self.padding),
            (attr::RESPONSE_PORT, self.response_port),
        ]
        .into_iter()
        .filter_map(|(kind, value)| value.map(|_| kind))
    }

    /// Change address, change port (RFC 5780, section 7.2).
    pub(crate) fn change_request(&self) -> Result<Option<(bool, bool)>, BadAttribute> {
        Ok(fixed::<4>(self.change)?.map(|[_, _, _, flags]| (flags & 4 != 0, flags & 2 != 0)))
    }

    pub(crate) fn response_port(&self) -> Result<Option<u16>, BadAttribute> {
        match self.response_port {
            None => Ok(None),
            Some(value) => {
                let &[p0, p1] = value.first_chunk::<2>().ok_or(BadAttribute)?;
                Ok(Some(u16::from_be_bytes([p0, p1])))
            }
        }
    }
}

fn fixed<const N: usize>(value: Option<&[u8]>) -> Result<Option<[u8; N]>, BadAttribute> {
    value.map(|value| <[u8; N]>::try_from(value).map_err(|_| BadAttribute)).transpose()
}

/// A Send indication (RFC 8656, section 11.1), read without the detour over [`Request`]: it is on the data path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendIndication<'a> {
    /// Where the payload goes.
    pub peer: SocketAddr,
    /// The payload to relay.
    pub payload: &'a [u8],
    /// Whether the packet must not be fragmented on its way to the peer.
    pub dont_fragment: bool,
}

impl<'a> SendIndication<'a> {
    /// Reads a message that passed [`check_stun`] and is known to be a Send indication. `None` when
    /// XOR-PEER-ADDRESS or DATA is missing or malformed, or a mandatory attribute is not known: such an indication is dropped.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let mask = attr::xor_mask(message)?;
        let mut rest = message.get(super::check::HEADER..)?;
        let (mut peer, mut payload, mut dont_fragment) = (None, None, false);
        while let Some((kind, value, after)) = next_attribute(rest) {
            rest = after;
            match kind {
                attr::XOR_PEER_ADDRESS if peer.is_none() => {
                    peer = Some(attr::read_xor_address(value, &mask)?);
                }
                attr::DATA if payload.is_none() => payload = Some(value),
                attr::DONT_FRAGMENT => dont_fragment = true,
                attr::XOR_PEER_ADDRESS
                | attr::DATA
                | attr::MESSAGE_INTEGRITY
                | attr::USERNAME
                | attr::REALM
                | attr::NONCE
                | 0x8000.. => {}
                _ => return None,
            }
        }
        Some(Self { peer: peer?, payload: payload?, dont_fragment })
    }
}
