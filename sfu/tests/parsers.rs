//! Whatever comes from the network, no parser panics, and none works for longer than its input is long.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::demux::{Protocol, classify};
use sfu::ice::{Check, write_check};
use sfu::rtcp::{Compound, Rtcp};
use sfu::rtp::RtpHeader;

fn exercise(datagram: &[u8]) {
    match classify(datagram) {
        Some(Protocol::Stun) => {
            if let Some(check) = Check::parse(datagram) {
                let _ = check.local_ufrag();
            }
        }
        Some(Protocol::Rtp) => {
            if let Some(header) = RtpHeader::parse(datagram) {
                assert!(header.len <= datagram.len());
                assert!(header.extensions(datagram).count() <= datagram.len());
                assert!(header.payload(datagram).is_none_or(|payload| payload.len() <= datagram.len()));
            }
        }
        Some(Protocol::Rtcp) => {
            for packet in Compound::new(datagram) {
                match packet {
                    Rtcp::Nack(nack) => assert!(nack.sequences().count() <= datagram.len() * 17),
                    Rtcp::Twcc(feedback) => assert!(feedback.arrivals().count() <= 4_096),
                    Rtcp::Fir(targets) => assert!(targets.count() <= datagram.len()),
                    Rtcp::SenderReport { reports, .. } | Rtcp::ReceiverReport { reports } => {
                        assert!(reports.count() <= 31);
                    }
                    _ => {}
                }
            }
        }
        Some(Protocol::Dtls) | None => {}
    }
}

#[test]
fn random_and_mutated_datagrams() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut check = [0; 256];
    let len = write_check("abcdefgh:ijkl", "a password of some length", 7, true, &mut check).unwrap();
    let rtp =
        [0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 2, 0x10, 7, 0x22, 1, 2, 3, 0, 0, 9, 9, 9];
    let twcc = [0x8f, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 4, 0, 0, 9, 1, 0x20, 4, 4, 4, 4, 4, 0, 0];
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0xff, 0xff];
    let seeds: [&[u8]; 4] = [&check[..len], &rtp, &twcc, &nack];
    for seed in seeds {
        assert!(classify(seed).is_some());
        (0..=seed.len()).for_each(|cut| exercise(&seed[..cut]));
    }
    for _ in 0..100_000 {
        let mut datagram = seeds[rng.next_u32() as usize % seeds.len()].to_vec();
        for _ in 0..=rng.next_u32() % 6 {
            let at = rng.next_u32() as usize % datagram.len();
            datagram[at] = rng.next_u32().to_be_bytes()[0];
        }
        if rng.next_u32().is_multiple_of(4) {
            datagram.extend(rng.next_u64().to_be_bytes());
        }
        exercise(&datagram);
    }
}
