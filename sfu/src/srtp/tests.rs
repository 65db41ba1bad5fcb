#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::similar_names,
    reason = "test code"
)]

use super::*;

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM, SrtpProfile::AES128_CM_SHA1_80];

fn pair(profile: SrtpProfile) -> (Sealer, Opener) {
    let material: Vec<u8> = (0..profile.keying_material_len()).map(|i| i as u8).collect();
    let (sealer, _) = keys(&material, profile, true).unwrap();
    let (_, opener) = keys(&material, profile, false).unwrap();
    (sealer, opener)
}

fn rtp(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(7_u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn sealed(sealer: &Sealer, index: u64, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = rtp(index as u16, ssrc, payload);
    let len = packet.len();
    packet.resize(len + RTP_OVERHEAD, 0);
    let len = sealer.seal_rtp(&mut packet, 12, len, ssrc, index).unwrap();
    packet.truncate(len);
    packet
}

/// The key derivation test vectors of RFC 3711 appendix B.3.
#[test]
fn derives_the_keys_of_the_rfc() {
    let key =
        [0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f, 0xa3, 0x2c, 0x06, 0xde, 0x41, 0x39];
    let salt = [0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6];
    let (rtp, _) = cipher::derive(SrtpProfile::AES128_CM_SHA1_80, &key, &salt).unwrap();
    let Cipher::Counter { salt, .. } = rtp else { panic!("wrong transform") };
    assert_eq!(salt, [0x30, 0xcb, 0xbc, 0x08, 0x86, 0x3d, 0x8c, 0x85, 0xd4, 0x9d, 0xb3, 0x4a, 0x9a, 0xe1]);
}

/// `AEAD_AES_128_GCM` as in RFC 7714 section 16.1.1, with its session key and salt used directly.
#[test]
fn seals_the_packet_of_rfc_7714() {
    use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, UnboundKey};
    let key: Vec<u8> = (0..16).collect();
    let cipher = Cipher::Gcm {
        key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap()),
        salt: [0x51, 0x75, 0x69, 0x64, 0x20, 0x70, 0x72, 0x6f, 0x20, 0x71, 0x75, 0x6f],
    };
    let header = [0x80, 0x40, 0xf1, 0x7b, 0x80, 0x41, 0xf8, 0xd3, 0x55, 0x01, 0xa0, 0xb2];
    let mut packet = header.to_vec();
    packet.extend(b"Gallia est omnis divisa in partes tres");
    let len = packet.len();
    packet.resize(len + RTP_OVERHEAD, 0);
    let len = cipher.seal_rtp(&mut packet, 12, len, 0x5501_a0b2, 0xf17b).unwrap();
    assert_eq!(len, packet.len());
    assert_eq!(packet[12..20], [0xf2, 0x4d, 0xe3, 0xa3, 0xfb, 0x34, 0xde, 0x6c]);
    assert_eq!(packet[len - 16..len - 8], [0x89, 0x9d, 0x7f, 0x27, 0xbe, 0xb1, 0x6a, 0x91]);
}

#[test]
fn what_is_sealed_opens() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = pair(profile);
        let mut packet = sealed(&sealer, 65_535, 9, b"hello");
        assert_ne!(&packet[12..17], b"hello");
        assert_eq!(opener.open_rtp(&mut packet, 12, 9), Ok((17, 65_535)));
        assert_eq!(&packet[12..17], b"hello");
        // Across a rollover of the sequence number.
        let mut packet = sealed(&sealer, 65_536, 9, b"again");
        assert_eq!(opener.open_rtp(&mut packet, 12, 9), Ok((17, 65_536)));

        let report = [0x80, 201, 0, 1, 1, 2, 3, 4];
        for round in 0..3 {
            let mut packet = report.to_vec();
            packet.extend([round; 8]);
            packet.resize(16 + RTCP_OVERHEAD, 0);
            let len = sealer.seal_rtcp(&mut packet, 16).unwrap();
            packet.truncate(len);
            assert_eq!(opener.open_rtcp(&mut packet), Ok(16));
            assert_eq!(packet[8..16], [round; 8]);
        }
    }
}

#[test]
fn a_replay_and_a_forgery_are_refused() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = pair(profile);
        let packet = sealed(&sealer, 100, 9, b"hello");
        for at in 0..packet.len() {
            let mut forged = packet.clone();
            forged[at] ^= 1;
            let ssrc = u32_at(&forged, 8).unwrap();
            assert!(opener.open_rtp(&mut forged, 12, ssrc).is_err(), "byte {at}");
        }
        assert!(opener.streams.is_empty(), "a forgery leaves no state");
        assert!(opener.open_rtp(&mut packet.clone(), 12, 9).is_ok());
        assert_eq!(opener.open_rtp(&mut packet.clone(), 12, 9), Err(SrtpError::Replayed));

        let mut report = vec![0x80, 201, 0, 1, 1, 2, 3, 4];
        report.resize(8 + RTCP_OVERHEAD, 0);
        let len = sealer.seal_rtcp(&mut report, 8).unwrap();
        report.truncate(len);
        for at in 0..report.len() {
            let mut forged = report.clone();
            forged[at] ^= 1;
            assert!(opener.open_rtcp(&mut forged).is_err(), "byte {at}");
        }
        assert_eq!(opener.open_rtcp(&mut report.clone()), Ok(8));
        assert_eq!(opener.open_rtcp(&mut report.clone()), Err(SrtpError::Replayed));
    }
}

#[test]
fn any_cut_is_an_error_and_no_panic() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = pair(profile);
        let packet = sealed(&sealer, 100, 9, b"hello");
        for len in 0..packet.len() {
            assert!(opener.open_rtp(&mut packet[..len].to_vec(), 12, 9).is_err());
        }
        let mut report = vec![0x80, 201, 0, 1, 1, 2, 3, 4];
        report.resize(8 + RTCP_OVERHEAD, 0);
        let len = sealer.seal_rtcp(&mut report, 8).unwrap();
        for cut in 0..len {
            assert!(opener.open_rtcp(&mut report[..cut].to_vec()).is_err());
        }
    }
}

#[test]
fn streams_are_bounded() {
    let (sealer, mut opener) = pair(SrtpProfile::AEAD_AES_128_GCM);
    for ssrc in 0..10_000 {
        let opened = opener.open_rtp(&mut sealed(&sealer, 1, ssrc, b"x"), 12, ssrc);
        assert_eq!(opened.is_ok(), (ssrc as usize) < MAX_STREAMS);
    }
    assert_eq!(opener.streams.len(), MAX_STREAMS);
}

#[test]
fn the_index_follows_the_rollover_in_both_directions() {
    assert_eq!(estimate_index(None, 5), 5);
    assert_eq!(estimate_index(Some(0xfff0), 3), 0x1_0003);
    assert_eq!(estimate_index(Some(0x1_0003), 0xfff0), 0xfff0);
    assert_eq!(estimate_index(Some(3), 0xfff0), 0xfff0, "there is nothing before the first");
    assert_eq!(estimate_index(Some(0x2_8000), 0x8001), 0x2_8001);
}
