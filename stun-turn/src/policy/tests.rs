use super::*;

fn policy() -> PeerPolicy {
    PeerPolicy {
        own_addresses: vec![
            "5.5.5.5".parse().unwrap(),
            "2a01::5".parse().unwrap(),
            "127.0.0.1".parse().unwrap(),
        ],
        own_media: vec!["5.5.5.5:9000".parse().unwrap()],
        own_services: vec!["0.0.0.0:3478".parse().unwrap(), "[::]:3478".parse().unwrap()],
        ..PeerPolicy::default()
    }
}

fn verdict(policy: &PeerPolicy, address: &str) -> AddressVerdict {
    policy.address(address.parse().unwrap())
}

#[test]
fn public_peers_are_allowed() {
    for address in [
        "8.8.8.8",
        "1.1.1.1",
        "223.255.255.255",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "2a00:1450:4001::200e",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ] {
        assert_eq!(verdict(&policy(), address), AddressVerdict::Allowed, "{address}");
    }
}

/// Every form in which an IPv4 address can be dressed up as IPv6.
fn disguises(v4: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = v4.octets();
    let hi = u16::from_be_bytes([a, b]);
    let lo = u16::from_be_bytes([c, d]);
    [
        [0, 0, 0, 0, 0, 0xffff, hi, lo],
        [0, 0, 0, 0, 0, 0, hi, lo],
        [0, 0, 0, 0, 0xffff, 0, hi, lo],
        [0x64, 0xff9b, 0, 0, 0, 0, hi, lo],
        [0x64, 0xff9b, 1, 0, 0, 0, hi, lo],
        [0x64, 0xff9b, 1, 7, 0, 0, hi, lo],
        [0x2002, hi, lo, 0, 0, 0, 0, 1],
        [0x2002, hi, lo, 1, 2, 3, 4, 5],
        [0x2001, 0, 0x808, 0x808, 0, 0, !hi, !lo],
        [0x2001, 0, hi, lo, 0, 0, !0x808, !0x808],
        [0x2a01, 2, 3, 4, 0, 0x5efe, hi, lo],
        [0x2a01, 2, 3, 4, 0x200, 0x5efe, hi, lo],
    ]
    .into_iter()
    .map(|segments| IpAddr::V6(segments.into()))
    .collect()
}

#[test]
fn special_purpose_ipv4_is_denied_in_every_encoding() {
    let addresses = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ];
    for address in addresses {
        let v4: Ipv4Addr = address.parse().unwrap();
        let without_own = PeerPolicy::default();
        assert_eq!(without_own.address(v4.into()), AddressVerdict::Denied, "{address}");
        for disguise in disguises(v4) {
            assert_eq!(without_own.address(disguise), AddressVerdict::Denied, "{address} as {disguise}");
            assert_eq!(policy().address(disguise), AddressVerdict::Denied, "{address} as {disguise}");
        }
    }
}

#[test]
fn special_purpose_ipv6_is_denied() {
    for address in [
        "::",
        "::1",
        "100::1",
        "2001:db8::1",
        "2001:2::1",
        "2001:10::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "::ffff:8.8.8.8",
    ] {
        assert_eq!(verdict(&policy(), address), AddressVerdict::Denied, "{address}");
    }
}

#[test]
fn own_addresses_lead_to_relays_and_media_only() {
    let policy = policy();
    let allows = |peer: &str, is_relay| policy.allows(peer.parse().unwrap(), || is_relay);
    assert!(allows("5.5.5.5:50000", true));
    assert!(allows("[2a01::5]:50000", true));
    assert!(!allows("5.5.5.5:22", false));
    assert!(allows("5.5.5.5:9000", false));
    assert!(!allows("[::ffff:5.5.5.5]:50000", true), "a disguise of an own address");
    assert!(!allows("[2002:505:505::1]:50000", true));
}

#[test]
fn listeners_stay_closed_whatever_hole_there_is() {
    let mut policy = policy();
    policy.allowed =
        vec!["127.0.0.0/8".parse().unwrap(), "5.5.5.5/32".parse().unwrap(), "::/0".parse().unwrap()];
    let allows = |peer: &str| policy.allows(peer.parse().unwrap(), || false);
    assert!(allows("127.0.0.1:13480"));
    assert!(allows("5.5.5.5:80"));
    for peer in [
        "127.0.0.1:3478",
        "127.1.2.3:3478",
        "5.5.5.5:3478",
        "[::1]:3478",
        "[2a01::5]:3478",
        "[::ffff:127.0.0.1]:3478",
        "[64:ff9b::7f00:1]:3478",
        "[::]:3478",
    ] {
        assert!(!allows(peer), "{peer}");
    }
    assert!(!allows("127.0.0.1:0"), "no packet goes to port 0");
}

#[test]
fn a_hole_opens_its_range_and_no_more() {
    let policy = PeerPolicy { allowed: vec!["10.1.0.0/16".parse().unwrap()], ..PeerPolicy::default() };
    assert_eq!(verdict(&policy, "10.1.2.3"), AddressVerdict::Allowed);
    assert_eq!(verdict(&policy, "10.2.0.1"), AddressVerdict::Denied);
    assert_eq!(verdict(&policy, "64:ff9b::10.1.2.3"), AddressVerdict::Allowed);
    assert_eq!(verdict(&policy, "64:ff9b::10.2.2.3"), AddressVerdict::Denied);
}

#[test]
fn what_the_operator_denies_wins_over_holes() {
    let policy = PeerPolicy {
        allowed: vec!["10.0.0.0/8".parse().unwrap()],
        denied: vec!["10.9.0.0/16".parse().unwrap(), "8.8.8.0/24".parse().unwrap()],
        ..PeerPolicy::default()
    };
    assert_eq!(verdict(&policy, "10.9.1.1"), AddressVerdict::Denied);
    assert_eq!(verdict(&policy, "8.8.8.8"), AddressVerdict::Denied);
    assert_eq!(verdict(&policy, "64:ff9b::8.8.8.8"), AddressVerdict::Denied);
    assert_eq!(verdict(&policy, "10.8.1.1"), AddressVerdict::Allowed);
}
