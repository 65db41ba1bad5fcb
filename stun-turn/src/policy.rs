//! Which peers a client may reach through a relay.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 ranges of the IANA special-purpose registry and multicast, none of which is a peer on the public internet.
const DENIED_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 31, 196, 0], 24),
    v4([192, 52, 193, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([192, 175, 48, 0], 24),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
];
/// Multicast, reserved and broadcast.
const DENIED_V4_FROM: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 0);

/// The same for IPv6. `64:ff9b::/96` and `2002::/16` are absent: what they carry is judged.
const DENIED_V6: [Ipv6Net; 13] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 8),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

const fn v4(address: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(address: [u16; 8], prefix: u8) -> Ipv6Net {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = address;
    Ipv6Net::new_assert(Ipv6Addr::new(s0, s1, s2, s3, s4, s5, s6, s7), prefix)
}

/// What the policy says about the address of a peer, before its port is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressVerdict {
    /// Every port is allowed.
    Allowed,
    /// One of this machine's own addresses: only relays and in-process media are behind it.
    Own,
    /// No port is allowed.
    Denied,
}

/// The rules. They allow public addresses, and deny special-purpose ranges and this server itself.
#[derive(Debug, Clone, Default)]
pub struct PeerPolicy {
    /// Exceptions to the denied ranges.
    pub allowed: Vec<IpNet>,
    /// Further ranges that are denied. They win over `allowed`.
    pub denied: Vec<IpNet>,
    /// Addresses of this machine, with those under which it is seen from outside.
    pub own_addresses: Vec<IpAddr>,
    /// UDP sockets on this machine's own addresses that are allowed, even where a service has the same port number over TCP: its
    /// media server. One that is reached without a socket ([`RelayPeer`](crate::RelayPeer)) says so itself.
    pub own_media: Vec<SocketAddr>,
    /// Sockets that no hole opens: listeners and control ports. An unspecified address (`0.0.0.0`, `::`) stands for every
    /// address of this machine.
    pub own_services: Vec<SocketAddr>,
    /// Relays exist inside this process only: they have no sockets, reach each other and the media server of this process
    /// ([`RelayPeer`](crate::RelayPeer)), and no other peer, whatever `allowed` says. There are no TCP relays then.
    pub inside_only: bool,
}

impl PeerPolicy {
    /// The verdict about `address` without a port, as `CreatePermission` needs it.
    pub fn address(&self, address: IpAddr) -> AddressVerdict {
        self.verdict(address, &[])
    }

    /// The same, with further addresses that are this machine's.
    pub fn verdict(&self, address: IpAddr, also_own: &[IpAddr]) -> AddressVerdict {
        let forms = Forms::of(address);
        if forms.iter().any(|form| self.denied.iter().any(|net| net.contains(&form))) {
            return AddressVerdict::Denied;
        }
        if self.allowed.iter().any(|net| net.contains(&address) || net.contains(&forms.canonical)) {
            return AddressVerdict::Allowed;
        }
        if forms.iter().any(|form| self.is_own(form) || also_own.contains(&form)) {
            // Only the plain form of an own address reaches a relay; an embedded one is an attempt to evade the policy.
            return if forms.iter().count() == 1 { AddressVerdict::Own } else { AddressVerdict::Denied };
        }
        if forms.is_refused || forms.iter().any(is_special) {
            return AddressVerdict::Denied;
        }
        AddressVerdict::Allowed
    }

    /// Whether `peer` may be reached, where `is_relay` says whether it is a relayed address of this server.
    pub fn allows(&self, peer: SocketAddr, is_relay: impl FnOnce() -> bool) -> bool {
        let verdict = self.address(peer.ip());
        self.allows_media(verdict, peer) || self.allows_port(verdict, peer, is_relay)
    }

    /// Whether `peer` is a media server of this machine that an address of this verdict leads to. UDP alone.
    pub fn allows_media(&self, verdict: AddressVerdict, peer: SocketAddr) -> bool {
        verdict != AddressVerdict::Denied && !self.inside_only && self.own_media.contains(&peer)
    }

    /// The second half of [`allows`](Self::allows), for an address whose verdict is known.
    pub fn allows_port(
        &self,
        verdict: AddressVerdict,
        peer: SocketAddr,
        is_relay: impl FnOnce() -> bool,
    ) -> bool {
        if peer.port() == 0 || self.is_own_service(peer) {
            return false;
        }
        match verdict {
            AddressVerdict::Allowed if !self.inside_only => true,
            AddressVerdict::Allowed | AddressVerdict::Own => is_relay(),
            AddressVerdict::Denied => false,
        }
    }

    /// Whether `address` belongs to this machine, as far as the policy was told.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own_addresses.contains(&address)
    }

    fn is_own_service(&self, peer: SocketAddr) -> bool {
        self.own_services.iter().any(|service| {
            service.port() == peer.port()
                && Forms::of(peer.ip()).iter().any(|form| {
                    service.ip() == form
                        || service.ip().is_unspecified()
                            && (self.is_own(form) || form.is_loopback() || form.is_unspecified())
                })
        })
    }
}

/// An address and the IPv4 addresses embedded in it.
struct Forms {
    plain: IpAddr,
    /// What a packet to `plain` would reach where a translator is at work, else `plain`.
    canonical: IpAddr,
    /// A second IPv4 address (Teredo names a server and a client).
    other: Option<IpAddr>,
    /// The encoding itself is denied to peers.
    is_refused: bool,
}

impl Forms {
    fn of(address: IpAddr) -> Self {
        let IpAddr::V6(v6) = address else {
            return Self { plain: address, canonical: address, other: None, is_refused: false };
        };
        let [s0, s1, s2, s3, s4, s5, s6, s7] = v6.segments();
        let low = join(s6, s7);
        let (embedded, other, is_refused) = match (s0, s1, s2, s3, s4, s5) {
            // Mapped, compatible (with :: and ::1 in it), translated (RFC 2765): a socket of IPv6 alone reaches none.
            // So does the local-use prefix of NAT64 (RFC 8215), for which the last 32 bits are looked at.
            (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 1, ..) => {
                (Some(low), None, true)
            }
            // 6to4 (RFC 3056).
            (0x2002, hi, lo, ..) => (Some(join(hi, lo)), None, false),
            // Teredo (RFC 4380): the server in the clear, the client inverted.
            (0x2001, 0, hi, lo, ..) => (Some(join(!s6, !s7)), Some(join(hi, lo)), true),
            // NAT64 (RFC 6052), and ISATAP (RFC 5214): an interface id of 0000:5efe or 0200:5efe before the address.
            (0x64, 0xff9b, 0, 0, 0, 0) | (_, _, _, _, 0 | 0x200, 0x5efe) => (Some(low), None, false),
            _ => (None, None, false),
        };
        Self {
            plain: address,
            canonical: embedded.map_or(address, IpAddr::V4),
            other: other.map(IpAddr::V4),
            is_refused,
        }
    }

    fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let canonical = (self.canonical != self.plain).then_some(self.canonical);
        [Some(self.plain), canonical, self.other].into_iter().flatten()
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4 >= DENIED_V4_FROM || DENIED_V4.iter().any(|net| net.contains(&v4)),
        IpAddr::V6(v6) => {
            // The two encodings judged by the embedded address overlap no other denied range.
            let is_nat64 = matches!(v6.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _]);
            !is_nat64 && DENIED_V6.iter().any(|net| net.contains(&v6))
        }
    }
}

#[cfg(test)]
mod tests;
