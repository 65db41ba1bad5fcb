//! Runs the fuzz targets on bytes from a fixed seed as part of the tests. `cargo fuzz run rtcp` in `fuzz/` goes
//! further.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

#[allow(unreachable_pub, reason = "the fuzz targets include this file, too")]
mod targets;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::demux::classify;
use sfu::ice::write_check;

/// Changes some bytes, and sometimes truncates the end or replaces it.
fn mutate(rng: &mut StdRng, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.next_u32() % 6 {
        let at = rng.next_u32() as usize % bytes.len();
        bytes[at] = rng.next_u32().to_be_bytes()[0];
    }
    match rng.next_u32() % 6 {
        0 => bytes.extend(rng.next_u64().to_be_bytes()),
        1 => bytes.truncate(rng.next_u32() as usize % bytes.len()),
        _ => {}
    }
    bytes
}

#[test]
fn random_and_mutated_datagrams() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut check = [0; 256];
    let len = write_check("abcdefgh:ijkl", "a password of some length", 7, true, &mut check).unwrap();
    let rtp =
        [0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 2, 0x10, 7, 0x22, 1, 2, 3, 0, 0, 9, 9, 9];
    let wide = [0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 2, 20, 3, 7, 7, 7, 0, 21, 0, 9];
    let twcc = [0x8f, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 4, 0, 0, 9, 1, 0x20, 4, 4, 4, 4, 4, 0, 0];
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0xff, 0xff];
    let report = [[0x81, 200, 0, 12].as_slice(), &[3; 48]].concat();
    let seeds: [&[u8]; 6] = [&check[..len], &rtp, &wide, &twcc, &nack, &report];
    let all = |bytes: &[u8]| {
        targets::demux(bytes);
        targets::shared_port(bytes);
        targets::rtp(bytes);
        targets::rtcp(bytes);
    };
    for seed in seeds {
        assert!(classify(seed).is_some());
        (0..=seed.len()).for_each(|cut| all(&seed[..cut]));
    }
    for _ in 0..100_000 {
        let seed = seeds[rng.next_u32() as usize % seeds.len()];
        all(&mutate(&mut rng, seed));
    }
    for _ in 0..20_000 {
        let mut bytes = vec![0; rng.next_u32() as usize % 200];
        rng.fill_bytes(&mut bytes);
        all(&bytes);
    }
}

/// A `ClientHello` for P-256 and ECDSA, with AES-256-GCM and AES-128-GCM for SRTP, in one fragment and in two.
#[test]
fn mutated_handshakes() {
    let mut rng = StdRng::seed_from_u64(4);
    let extensions: [&[u8]; 6] = [
        &[0, 14, 0, 9, 0, 6, 0, 1, 0, 7, 0, 8, 0],
        &[0, 10, 0, 4, 0, 2, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 23, 0, 0],
        &[0xff, 1, 0, 1, 0],
    ];
    let extensions = extensions.concat();
    let mut hello = vec![0xfe, 0xfd];
    hello.extend([9; 32]);
    hello.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0, 0, extensions.len() as u8]);
    hello.extend(&extensions);
    let datagram = |offset: usize, piece: &[u8]| {
        let (whole, offset, len) = (hello.len() as u8, offset as u8, piece.len() as u8);
        let record = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, offset, 0, len + 12];
        let mut datagram = vec![0, len + 25];
        datagram.extend(record);
        datagram.extend([1, 0, 0, whole, 0, 0, 0, 0, offset, 0, 0, len]);
        datagram.extend(piece);
        datagram
    };
    let whole = datagram(0, &hello);
    let (first, second) = hello.split_at(60);
    let pieces = [datagram(60, second), datagram(0, first)].concat();
    for _ in 0..2_000 {
        let seed = if rng.next_u32().is_multiple_of(2) { &whole } else { &pieces };
        targets::dtls(&mutate(&mut rng, seed));
    }
}

#[test]
fn mutated_descriptions() {
    let mut rng = StdRng::seed_from_u64(2);
    let seeds = [
        include_str!("../fixtures/chromium-156-publish.sdp"),
        include_str!("../fixtures/chromium-156-play.sdp"),
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n",
    ];
    for seed in seeds {
        targets::sdp(seed.as_bytes());
    }
    for _ in 0..1_500 {
        let seed = seeds[rng.next_u32() as usize % seeds.len()];
        targets::sdp(&mutate(&mut rng, seed.as_bytes()));
        // With missing and duplicate lines.
        let mut lines: Vec<_> = seed.lines().collect();
        for _ in 0..rng.next_u32() % 20 {
            let (from, to) = (rng.next_u32() as usize % lines.len(), rng.next_u32() as usize % lines.len());
            match rng.next_u32() % 2 {
                0 if lines.len() > 3 => drop(lines.remove(from)),
                _ => lines.insert(to, lines[from]),
            }
        }
        targets::sdp(lines.join("\r\n").as_bytes());
    }
}

#[test]
fn sealed_and_forged_packets() {
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..3_000 {
        let mut bytes = vec![0; rng.next_u32() as usize % 120];
        rng.fill_bytes(&mut bytes);
        if bytes.len() > 12 && rng.next_u32().is_multiple_of(2) {
            // Bytes that resemble a packet get further.
            bytes[1] = 0x80;
            bytes[2] = 96;
        }
        targets::srtp(&bytes);
    }
}
