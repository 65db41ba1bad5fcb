//! The bodies of the fuzz targets and their smoke test: the first bytes of a connection decide once, and to the right one.

use signaling_transport::net::Opening;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Arbitrary bytes as the beginning of a TCP connection.
pub fn first_bytes(data: &[u8]) {
    let whole = Opening::of(data);
    only_once(data, whole, Opening::of);
    match whole {
        Opening::Tls => assert_eq!(data[0], 22),
        // No request of HTTP begins with a byte like these.
        Opening::Http => assert!(data[0] > 7 && data[0] != 22),
        Opening::Stun => assert_eq!(data[4..8], COOKIE),
        Opening::Media => assert!(data[6..10] == COOKIE && data[0] < 8),
        Opening::Unknown => assert!(data.len() >= 10 && data[4..8] != COOKIE && data[6..10] != COOKIE),
        Opening::Incomplete(needed) => assert!(needed > data.len() && needed <= 10),
    }
}

/// Arbitrary bytes as the first inside TLS.
pub fn first_bytes_inside_tls(data: &[u8]) {
    let whole = Opening::inside_tls(data);
    only_once(data, whole, Opening::inside_tls);
    match whole {
        Opening::Stun => assert!(data[0] < 4),
        Opening::Http => assert!(data[0] >= 4),
        Opening::Incomplete(1) => assert!(data.is_empty()),
        other => panic!("{other:?} is not served inside TLS"),
    }
}

/// What the first bytes have told, further ones do not change.
fn only_once(data: &[u8], whole: Opening, tell: impl Fn(&[u8]) -> Opening) {
    for end in 0..data.len().min(16) {
        let part = tell(&data[..end]);
        assert!(
            part == whole || matches!(part, Opening::Incomplete(needed) if needed > end),
            "{data:?} at {end}"
        );
    }
}
