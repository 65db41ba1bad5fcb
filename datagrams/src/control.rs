//! Control messages: the length of a run's datagrams, and the address of this machine that a datagram uses.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::{
    IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO, SOL_UDP, UDP_GRO, UDP_SEGMENT, cmsghdr, in_pktinfo,
    in6_pktinfo,
};

/// Room for a segment length and an address of either family: 24 and 40 bytes.
pub(crate) const CONTROL_BYTES: usize = 64;
/// Length of the header: a length of the size of a pointer, a level and a type.
const HEADER: usize = size_of::<cmsghdr>();
/// Messages begin at multiples of this.
const ALIGNMENT: usize = size_of::<usize>();

/// Memory for control messages, aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control(pub(crate) [u8; CONTROL_BYTES]);

impl Control {
    pub(crate) const EMPTY: Self = Self([0; CONTROL_BYTES]);

    /// Writes what a message is sent with, and returns the length of it.
    pub(crate) fn write(&mut self, segment: Option<u16>, from: Option<IpAddr>) -> usize {
        let mut at = 0;
        if let Some(segment) = segment {
            at = self.push(at, SOL_UDP, UDP_SEGMENT, &segment.to_ne_bytes());
        }
        match from {
            None => at,
            Some(IpAddr::V4(ip)) => {
                // An interface (any), the source address, and an address that is not used when sending.
                let mut info = [0; size_of::<in_pktinfo>()];
                info[4..8].copy_from_slice(&ip.octets());
                self.push(at, IPPROTO_IP, IP_PKTINFO, &info)
            }
            Some(IpAddr::V6(ip)) => {
                // The source address and an interface (any).
                let mut info = [0; size_of::<in6_pktinfo>()];
                info[..16].copy_from_slice(&ip.octets());
                self.push(at, IPPROTO_IPV6, IPV6_PKTINFO, &info)
            }
        }
    }

    fn push(&mut self, at: usize, level: c_int, kind: c_int, data: &[u8]) -> usize {
        let length = HEADER + data.len();
        let parts: [&[u8]; 4] = [&length.to_ne_bytes(), &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
        let mut offset = at;
        for part in parts {
            let Some(slot) = self.0.get_mut(offset..offset + part.len()) else { return at };
            slot.copy_from_slice(part);
            offset += part.len();
        }
        at + length.next_multiple_of(ALIGNMENT)
    }

    /// Reads what a message of `length` bytes of control messages was received with: the length of its datagrams, and the
    /// address that it was sent to.
    pub(crate) fn read(&self, length: usize) -> (Option<usize>, Option<IpAddr>) {
        let (mut segment, mut to) = (None, None);
        let mut rest = self.0.get(..length).unwrap_or(&self.0);
        while let Some((level, kind, data, tail)) = split(rest) {
            match (level, kind) {
                (SOL_UDP, UDP_GRO) => {
                    let size = data.first_chunk().map(|bytes| c_int::from_ne_bytes(*bytes));
                    segment = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
                }
                (IPPROTO_IP, IP_PKTINFO) => {
                    // An interface, the address that answers, and the destination in the header.
                    let ip = data.get(8..).and_then(|bytes| bytes.first_chunk::<4>());
                    to = ip.map(|ip| Ipv4Addr::from(*ip).into());
                }
                (IPPROTO_IPV6, IPV6_PKTINFO) => {
                    to = data.first_chunk::<16>().map(|ip| IpAddr::from(Ipv6Addr::from(*ip)).to_canonical());
                }
                _ => {}
            }
            rest = tail;
        }
        (segment, to)
    }
}

/// Level, type and data of the first control message, and what follows it.
fn split(bytes: &[u8]) -> Option<(c_int, c_int, &[u8], &[u8])> {
    let (length, fields) = bytes.split_first_chunk()?;
    let length = usize::from_ne_bytes(*length);
    let (level, fields) = fields.split_first_chunk()?;
    let data = bytes.get(HEADER..length)?;
    let tail = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    Some((c_int::from_ne_bytes(*level), c_int::from_ne_bytes(*fields.first_chunk()?), data, tail))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;

    #[test]
    fn everything_fits() {
        let mut control = Control::EMPTY;
        assert_eq!(control.write(None, None), 0);
        assert_eq!(control.write(Some(1_200), None), 24);
        assert_eq!(control.write(Some(1_200), Some("192.0.2.1".parse().unwrap())), 24 + 32);
        assert_eq!(control.write(Some(1_200), Some("2001:db8::1".parse().unwrap())), CONTROL_BYTES);
        assert_eq!(control.read(CONTROL_BYTES), (None, Some("2001:db8::1".parse().unwrap())));
    }

    #[test]
    fn reads_segment_and_destination() {
        let mut control = Control::EMPTY;
        let at = control.push(0, SOL_UDP, UDP_GRO, &1_300_i32.to_ne_bytes());
        let mapped: Ipv6Addr = "::ffff:192.0.2.7".parse().unwrap();
        let end = control.push(at, IPPROTO_IPV6, IPV6_PKTINFO, &[&mapped.octets()[..], &[0; 4]].concat());
        assert_eq!(control.read(end), (Some(1_300), Some("192.0.2.7".parse().unwrap())));
        assert_eq!(control.read(at), (Some(1_300), None));
        assert_eq!(control.read(0), (None, None));
    }

    #[test]
    fn senseless_lengths_end_the_reading() {
        for length in [0, 1, HEADER - 1, CONTROL_BYTES + 1, usize::MAX] {
            let mut control = Control::EMPTY;
            control.0[..8].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(control.read(CONTROL_BYTES), (None, None));
        }
    }
}
