//! Socket addresses in the form of the kernel: `sockaddr_in` and `sockaddr_in6`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{AF_INET, AF_INET6, sa_family_t, sockaddr_in, sockaddr_in6, socklen_t};

const NAME_BYTES: usize = size_of::<sockaddr_in6>();
/// Bytes of the longer one.
#[allow(clippy::cast_possible_truncation, reason = "28")]
pub(crate) const NAME_LENGTH: socklen_t = NAME_BYTES as socklen_t;
#[allow(clippy::cast_possible_truncation, reason = "16")]
const V4_LENGTH: socklen_t = size_of::<sockaddr_in>() as socklen_t;

/// Memory for an address. Its fields stand at the offsets that the kernel's interface fixes: family (in the machine's byte
/// order), port, then either an IPv4 address, or flow information, an IPv6 address and its scope.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub(crate) struct Name(pub(crate) [u8; NAME_BYTES]);

impl Name {
    pub(crate) const EMPTY: Self = Self([0; NAME_BYTES]);

    /// Writes an address and returns its length.
    pub(crate) fn write(&mut self, address: SocketAddr) -> socklen_t {
        let [f0, f1, p0, p1, rest @ ..] = &mut self.0;
        [*p0, *p1] = address.port().to_be_bytes();
        match address {
            SocketAddr::V4(v4) => {
                [*f0, *f1] = family(AF_INET);
                let [a0, a1, a2, a3, ..] = rest;
                [*a0, *a1, *a2, *a3] = v4.ip().octets();
                V4_LENGTH
            }
            SocketAddr::V6(v6) => {
                [*f0, *f1] = family(AF_INET6);
                let fields =
                    [&v6.flowinfo().to_be_bytes()[..], &v6.ip().octets(), &v6.scope_id().to_ne_bytes()];
                let mut rest = &mut rest[..];
                for field in fields {
                    let Some((slot, tail)) = rest.split_at_mut_checked(field.len()) else { break };
                    slot.copy_from_slice(field);
                    rest = tail;
                }
                NAME_LENGTH
            }
        }
    }

    /// Reads an address that the kernel wrote. An IPv4 address that a socket of both families reports as mapped into IPv6
    /// is returned as IPv4.
    pub(crate) fn read(&self) -> Option<SocketAddr> {
        let [f0, f1, p0, p1, rest @ ..] = &self.0;
        let port = u16::from_be_bytes([*p0, *p1]);
        match [*f0, *f1] {
            f if f == family(AF_INET) => {
                let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
                Some(SocketAddrV4::new(ip, port).into())
            }
            f if f == family(AF_INET6) => {
                let ip = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
                let scope = u32::from_ne_bytes(*rest.last_chunk::<4>()?);
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) => SocketAddrV4::new(ip, port).into(),
                    None => SocketAddrV6::new(ip, port, 0, scope).into(),
                })
            }
            _ => None,
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the kernel's families are small numbers"
)]
const fn family(number: i32) -> [u8; 2] {
    (number as sa_family_t).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;

    #[test]
    fn reads_what_it_writes_and_what_other_code_writes() {
        for (text, len) in [("192.0.2.1:5000", 16), ("[2001:db8::1]:443", 28), ("[fe80::1%3]:9", 28)] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = Name::EMPTY;
            assert_eq!(name.write(address), len);
            assert_eq!(name.read(), Some(address));
            assert_eq!(socket2::SockAddr::from(address).len(), len);
        }
        assert_eq!(Name::EMPTY.read(), None);
        let mut name = Name::EMPTY;
        name.write("[::ffff:192.0.2.1]:7".parse().unwrap());
        assert_eq!(name.read(), Some("192.0.2.1:7".parse().unwrap()));
    }
}
