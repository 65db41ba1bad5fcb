//! Attribute numbers, and addresses as TURN writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// RFC 5780, section 7.2.
pub const CHANGE_REQUEST: u16 = 0x0003;
/// RFC 8489, section 14.3.
pub const USERNAME: u16 = 0x0006;
/// RFC 8489, section 14.5.
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
/// RFC 8489, section 14.8.
pub const ERROR_CODE: u16 = 0x0009;
/// RFC 8489, section 14.9.
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
/// RFC 8656, section 18.1.
pub const CHANNEL_NUMBER: u16 = 0x000c;
/// RFC 8656, section 18.2.
pub const LIFETIME: u16 = 0x000d;
/// RFC 8656, section 18.3.
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
/// RFC 8656, section 18.4.
pub const DATA: u16 = 0x0013;
/// RFC 8489, section 14.9.
pub const REALM: u16 = 0x0014;
/// RFC 8489, section 14.10.
pub const NONCE: u16 = 0x0015;
/// RFC 8656, section 18.5.
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
/// RFC 8656, section 18.6.
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
/// RFC 8656, section 18.7.
pub const EVEN_PORT: u16 = 0x0018;
/// RFC 8656, section 18.8.
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
/// RFC 8656, section 18.9.
pub const DONT_FRAGMENT: u16 = 0x001a;
/// RFC 8489, section 14.6.
pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
/// RFC 8489, section 14.12.
pub const PASSWORD_ALGORITHM: u16 = 0x001d;
/// RFC 8489, section 14.4.
pub const USERHASH: u16 = 0x001e;
/// RFC 8489, section 14.2.
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// RFC 8656, section 18.10.
pub const RESERVATION_TOKEN: u16 = 0x0022;
/// RFC 5780, section 7.6.
pub const PADDING: u16 = 0x0026;
/// RFC 5780, section 7.5.
pub const RESPONSE_PORT: u16 = 0x0027;
/// RFC 6062, section 6.2.1.
pub const CONNECTION_ID: u16 = 0x002a;
/// RFC 8656, section 18.11.
pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
/// The number that ADDITIONAL-ADDRESS-FAMILY had in a draft, and still has in Debian's clients.
pub const ADDITIONAL_ADDRESS_FAMILY_DRAFT: u16 = 0x8032;
/// RFC 8656, section 18.12.
pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
/// RFC 8489, section 14.11.
pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
/// RFC 8489, section 14.15.
pub const ALTERNATE_SERVER: u16 = 0x8023;
/// RFC 8489, section 14.7.
pub const FINGERPRINT: u16 = 0x8028;
/// RFC 5780, section 7.3.
pub const RESPONSE_ORIGIN: u16 = 0x802b;
/// RFC 5780, section 7.4.
pub const OTHER_ADDRESS: u16 = 0x802c;
/// RFC 8016, section 3.1.
pub const MOBILITY_TICKET: u16 = 0x8030;

/// The longest an address attribute's value gets, in bytes.
pub(crate) const MAX_ADDRESS: usize = 20;

/// The sixteen bytes an address is combined with: magic cookie and transaction id (RFC 8489, section 14.2).
pub fn xor_mask(header: &[u8]) -> Option<[u8; 16]> {
    header.get(4..20)?.first_chunk::<16>().copied()
}

/// Reads the value of an XOR address attribute.
pub fn read_xor_address(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk::<4>()?;
    let [m0, m1, m2, m3, ..] = *mask;
    let port = u16::from_be_bytes([p0 ^ m0, p1 ^ m1]);
    match (family, address.len()) {
        (1, 4) => {
            let &[a, b, c, d] = address.first_chunk::<4>()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a ^ m0, b ^ m1, c ^ m2, d ^ m3)), port))
        }
        (2, 16) => {
            let mut octets = *address.first_chunk::<16>()?;
            octets.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)), port))
        }
        _ => None,
    }
}

/// Writes the value of an XOR address attribute and gives its length.
pub(crate) fn write_xor_address(address: SocketAddr, mask: &[u8; 16], out: &mut [u8; MAX_ADDRESS]) -> usize {
    let length = write_address(address, out);
    let [m0, m1, ..] = *mask;
    let (head, tail) = out.split_at_mut(4);
    if let [_, _, p0, p1] = head {
        *p0 ^= m0;
        *p1 ^= m1;
    }
    tail.iter_mut().take(length - 4).zip(mask).for_each(|(octet, mask)| *octet ^= mask);
    length
}

/// Writes the value of a plain address attribute (ALTERNATE-SERVER, RESPONSE-ORIGIN, OTHER-ADDRESS).
pub(crate) fn write_address(address: SocketAddr, out: &mut [u8; MAX_ADDRESS]) -> usize {
    let [p0, p1] = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            if let Some(head) = out.first_chunk_mut::<8>() {
                *head = [0, 1, p0, p1, a, b, c, d];
            }
            8
        }
        IpAddr::V6(ip) => {
            if let Some(head) = out.first_chunk_mut::<4>() {
                *head = [0, 2, p0, p1];
            }
            if let Some(tail) = out.last_chunk_mut::<16>() {
                *tail = ip.octets();
            }
            20
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xor_addresses_survive_the_way_there_and_back() {
        let mask = [0x21, 0x12, 0xa4, 0x42, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254];
        for address in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let address: SocketAddr = address.parse().unwrap();
            let mut value = [0; MAX_ADDRESS];
            let length = write_xor_address(address, &mask, &mut value);
            assert_eq!(read_xor_address(&value[..length], &mask), Some(address));
            assert_eq!(read_xor_address(&value[..length - 1], &mask), None);
        }
    }
}
