//! The vectors of RFC 5769, and the one of RFC 8489 for SHA-256.

use std::net::SocketAddr;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{Request, attributes, check_stun};
use stun_turn::{Key, PasswordAlgorithm};

const SHORT_TERM_PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
/// RFC 5769, section 2.1.
const REQUEST: &str = "00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 \
    7420636c 69656e74 00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 \
    6576746a 3a683676 59202020 00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 \
    c1b571a2 80280004 e57a3bcf";
/// RFC 5769, section 2.2.
const IPV4_RESPONSE: &str = "0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 \
    746f7220 00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 \
    2af9ba53 f06be7d7 80280004 c07d4c96";
/// RFC 5769, section 2.3.
const IPV6_RESPONSE: &str = "01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 \
    746f7220 00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 \
    a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c";
/// RFC 5769, section 2.4.
const LONG_TERM_REQUEST: &str = "00010060 2112a442 78ad3433 c6ad72c0 29da412e 00060012 e3839ee3 8388e383 \
    aae38383 e382afe3 82b90000 0015001c 662f2f34 39396b39 35346436 4f4c3334 \
    6f4c3946 53547679 36347341 0014000b 6578616d 706c652e 6f726700 00080014 \
    f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";
/// RFC 8489, appendix B.1.
const SHA256_REQUEST: &str = "00010090 2112a442 78ad3433 c6ad72c0 29da412e 001e0020 4a3cf38f ef6992bd \
    a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704 00150029 6f624d61 \
    744a6f73 32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39 46535476 \
    79363473 41000000 0014000b 6578616d 706c652e 6f726700 001d0004 00020000 \
    001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c \
    c6518e65";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Each byte changed in turn must break the integrity, or the message.
fn breaks_when_touched(message: &[u8], key: &Key, signed: usize) {
    for at in 0..signed {
        let mut touched = message.to_vec();
        touched[at] ^= 1;
        assert!(check_stun(&touched).is_err() || !key.signed(&touched), "byte {at}");
    }
}

#[test]
fn sample_request() {
    let message = bytes(REQUEST);
    let request = Request::parse(&message).expect("with its fingerprint");
    let key = Key::short_term(SHORT_TERM_PASSWORD).unwrap();
    assert!(key.verifies(&request) && key.signed(&message));
    assert!(!Key::short_term(b"another password").unwrap().verifies(&request));
    let username = attributes(&message).find(|(kind, _)| *kind == attr::USERNAME);
    assert_eq!(username, Some((attr::USERNAME, &b"evtj:h6vY"[..])));
    breaks_when_touched(&message, &key, message.len() - 8);
    let mut touched = message.clone();
    *touched.last_mut().unwrap() ^= 1;
    assert!(Request::parse(&touched).is_err(), "the fingerprint is wrong");
}

#[test]
fn sample_responses() {
    let key = Key::short_term(SHORT_TERM_PASSWORD).unwrap();
    let cases =
        [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")];
    for (message, address) in cases {
        let message = bytes(message);
        assert_eq!(check_stun(&message), Ok(()));
        assert!(key.signed(&message));
        let (_, value) = attributes(&message).find(|(kind, _)| *kind == attr::XOR_MAPPED_ADDRESS).unwrap();
        let mask = attr::xor_mask(&message).unwrap();
        assert_eq!(attr::read_xor_address(value, &mask), Some(address.parse::<SocketAddr>().unwrap()));
        breaks_when_touched(&message, &key, message.len() - 8);
    }
}

#[test]
fn sample_request_with_long_term_authentication() {
    let message = bytes(LONG_TERM_REQUEST);
    let request = Request::parse(&message).unwrap();
    let username = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    // The password after its preparation.
    let key = |password: &str| {
        Key::new(PasswordAlgorithm::Md5, username.as_bytes(), b"example.org", password.as_bytes())
    };
    assert!(key("TheMatrIX").verifies(&request));
    assert!(!key("TheMatrix").verifies(&request));
    breaks_when_touched(&message, &key("TheMatrIX"), message.len());
}

#[test]
fn sample_request_with_sha256() {
    let message = bytes(SHA256_REQUEST);
    let request = Request::parse(&message).unwrap();
    let username = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    let key = |algorithm| Key::new(algorithm, username.as_bytes(), b"example.org", b"TheMatrIX");
    assert!(key(PasswordAlgorithm::Sha256).verifies(&request));
    assert!(!key(PasswordAlgorithm::Md5).verifies(&request));
    breaks_when_touched(&message, &key(PasswordAlgorithm::Sha256), message.len());
}
