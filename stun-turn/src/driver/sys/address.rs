//! Addresses as the kernel writes them.

use std::ffi::c_int;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

use super::{check, socklen};

fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

/// A socket address in the kernel's form.
#[derive(Clone, Copy)]
pub(in crate::driver) enum RawAddress {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl RawAddress {
    pub(in crate::driver) fn new(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::V6(libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }

    pub(super) fn as_ptr(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::V4(v4) => (ptr::from_ref(v4).cast(), socklen(size_of::<libc::sockaddr_in>())),
            Self::V6(v6) => (ptr::from_ref(v6).cast(), socklen(size_of::<libc::sockaddr_in6>())),
        }
    }
}

pub(super) fn read_address(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match c_int::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a sockaddr_in there; it is shorter than a sockaddr_in6 and no more strictly aligned.
            let name: &libc::sockaddr_in = unsafe { &*ptr::from_ref(name).cast() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// The addresses of this machine's interfaces.
pub(in crate::driver) fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list = MaybeUninit::<*mut libc::ifaddrs>::uninit();
    // SAFETY: the call writes the head of a list, or fails.
    check(unsafe { libc::getifaddrs(list.as_mut_ptr()) })?;
    // SAFETY: it did not fail.
    let list = unsafe { list.assume_init() };
    let mut addresses = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` is an entry of the list, which is freed only below.
        let entry = unsafe { &*next };
        if !entry.ifa_addr.is_null() {
            // SAFETY: the address of an interface of family AF_INET is a sockaddr_in, of AF_INET6 a sockaddr_in6.
            let address = unsafe {
                match c_int::from((*entry.ifa_addr).sa_family) {
                    libc::AF_INET => {
                        let name = ptr::read_unaligned(entry.ifa_addr.cast::<libc::sockaddr_in>());
                        Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr))))
                    }
                    libc::AF_INET6 => {
                        let name = ptr::read_unaligned(entry.ifa_addr.cast::<libc::sockaddr_in6>());
                        Some(IpAddr::V6(Ipv6Addr::from(name.sin6_addr.s6_addr)))
                    }
                    _ => None,
                }
            };
            addresses.extend(address);
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is not used after this.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}
