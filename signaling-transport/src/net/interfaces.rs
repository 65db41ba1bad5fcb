//! Lasting addresses of this machine, by which it is still known tomorrow.
//!
//! A certificate for every address would change each day: IPv6 makes temporary addresses (RFC 8981), and those of
//! containers and VPNs come and go.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// The device type of networks (`if_arp.h`): Ethernet and similar devices. Tunnels have other types.
const ETHERNET: &str = "1";
/// Flags of addresses that are temporary, deprecated or tentative (`if_addr.h`).
const PASSING: u8 = 0x01 | 0x20 | 0x40;

/// The lasting ones of these addresses, given with their interfaces; all of them if none is known to last.
pub(super) fn lasting(addresses: &[(String, IpAddr)]) -> Vec<IpAddr> {
    lasting_in(addresses, Path::new("/sys/class/net"), &temporary(Path::new("/proc/net/if_inet6")))
}

fn lasting_in(addresses: &[(String, IpAddr)], devices: &Path, temporary: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let lasts = |(name, ip): &&(String, IpAddr)| !temporary.contains(ip) && is_network(&devices.join(name));
    let lasting: Vec<IpAddr> = addresses.iter().filter(lasts).map(|(_, ip)| *ip).collect();
    if lasting.is_empty() { addresses.iter().map(|(_, ip)| *ip).collect() } else { lasting }
}

/// Whether a device leads to a network outside this machine: not a tunnel, and not a bridge for containers alone.
fn is_network(device: &Path) -> bool {
    let Ok(kind) = fs::read_to_string(device.join("type")) else { return true };
    let is_bridge = device.join("bridge").exists();
    kind.trim() == ETHERNET && (!is_bridge || has_hardware(device))
}

/// Whether one of a bridge's ports is a hardware device.
fn has_hardware(bridge: &Path) -> bool {
    let ports = fs::read_dir(bridge.join("brif")).into_iter().flatten().flatten();
    let devices = bridge.parent().unwrap_or(bridge);
    ports.into_iter().any(|port| devices.join(port.file_name()).join("device").exists())
}

/// The temporary IPv6 addresses, as the kernel lists them.
fn temporary(list: &Path) -> BTreeSet<IpAddr> {
    fs::read_to_string(list).unwrap_or_default().lines().filter_map(passing_address).collect()
}

/// Parses a line: address, index, prefix length, scope, flags (all hexadecimal), name.
fn passing_address(line: &str) -> Option<IpAddr> {
    let mut fields = line.split_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let flags = u8::from_str_radix(fields.nth(3)?, 16).ok()?;
    (flags & PASSING != 0).then(|| Ipv6Addr::from_bits(address).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(devices: &Path, name: &str, kind: &str) -> std::path::PathBuf {
        let device = devices.join(name);
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("type"), format!("{kind}\n")).unwrap();
        device
    }

    #[test]
    fn what_comes_and_goes_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let devices = folder.path().join("net");
        fs::create_dir_all(device(&devices, "eth0", "1").join("device")).unwrap();
        fs::create_dir_all(device(&devices, "docker0", "1").join("bridge")).unwrap();
        let bridge = device(&devices, "br0", "1");
        fs::create_dir_all(bridge.join("bridge")).unwrap();
        fs::create_dir_all(bridge.join("brif/eth0")).unwrap();
        device(&devices, "wg0", "65534");
        let list = folder.path().join("if_inet6");
        let lines = "2001067c000000000000000000000001 02 40 00 80     eth0\n\
                     2001067c0000000000000000000000aa 02 40 00 01     eth0\n\
                     2001067c0000000000000000000000bb 02 40 00 21     eth0\n";
        fs::write(&list, lines).unwrap();
        let of = |name: &str, ip: &str| (name.to_owned(), ip.parse().unwrap());
        let addresses = [
            of("eth0", "192.0.2.1"),
            of("eth0", "2001:67c::1"),
            of("eth0", "2001:67c::aa"),
            of("eth0", "2001:67c::bb"),
            of("docker0", "172.17.0.1"),
            of("br0", "192.0.2.2"),
            of("wg0", "10.8.0.2"),
            of("unknown", "192.0.2.3"),
        ];
        let lasting = lasting_in(&addresses, &devices, &temporary(&list));
        let expected = ["192.0.2.1", "2001:67c::1", "192.0.2.2", "192.0.2.3"];
        assert_eq!(lasting.iter().map(IpAddr::to_string).collect::<Vec<_>>(), expected);
        // If a tunnel is the only interface, its address is how the machine is known.
        let tunnel = [of("wg0", "10.8.0.2")];
        assert_eq!(lasting_in(&tunnel, &devices, &BTreeSet::new()).len(), 1);
    }
}
