//! The bodies of the fuzz targets and their smoke test: no parser panics, none works for longer than its input
//! justifies, and every parsed result is consistent.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Instant;

use sfu::demux::{Protocol, classify, is_for_relay};
use sfu::dtls::{DtlsEvent, Handshake, Identity, Role};
use sfu::ice::{Check, Credentials, Verdict};
use sfu::rtcp::{Compound, MAX_STATUSES, Rtcp};
use sfu::rtp::{NewHeader, RtpHeader, write_header};
use sfu::sdp::{MAX_SECTIONS, RemoteDescription, RemoteFragment};
use sfu::srtp::{self, RTCP_OVERHEAD, RTP_OVERHEAD, SrtpError, SrtpProfile};

/// Arbitrary bytes as a datagram.
pub fn demux(data: &[u8]) {
    match classify(data) {
        Some(Protocol::Stun) => {
            assert!(data.len() >= 20 && data.len().is_multiple_of(4));
            assert!(sfu::ice::local_ufrag(data).is_none_or(|ufrag| ufrag.len() < data.len()));
            if let Some(check) = Check::parse(data) {
                let ours = Credentials::new("ours".to_owned(), "a password that nobody guesses".to_owned());
                assert_eq!(check.verify(&ours), Verdict::Unauthenticated);
            }
        }
        Some(Protocol::Dtls) => assert!((20..64).contains(&data[0])),
        Some(Protocol::Rtp) => assert!(!(192..=223).contains(&data[1])),
        Some(Protocol::Rtcp) => assert!((192..=223).contains(&data[1])),
        None => {}
    }
}

/// Arbitrary bytes as a datagram on the port that media and a relay share: DTLS and SRTP are the media's, whoever sends
/// them, and a connectivity check never the relay's.
pub fn shared_port(data: &[u8]) {
    let is_relays = is_for_relay(data);
    match classify(data) {
        Some(Protocol::Dtls | Protocol::Rtp | Protocol::Rtcp) => assert!(!is_relays),
        Some(Protocol::Stun) => {
            assert!(!is_relays || data[..2] != [0, 1] || sfu::ice::local_ufrag(data).is_none());
        }
        None => {}
    }
    assert!(!is_relays || data[0] < 4 || (64..80).contains(&data[0]));
}

/// Arbitrary bytes as the length-prefixed datagrams of a DTLS client: no keys are exported without a handshake.
pub fn dtls(mut data: &[u8]) {
    static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate().expect("a certificate"));
    #[allow(clippy::disallowed_methods, reason = "time stands still from here on")]
    let now = Instant::now();
    let mut handshake = Handshake::new(&IDENTITY, Role::Server, IDENTITY.fingerprint, now);
    let mut buf = vec![0; 2048];
    while let Some((len, rest)) = data.split_first_chunk::<2>() {
        let (datagram, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
        data = rest;
        if handshake.handle_packet(now, datagram).is_err() {
            return;
        }
        loop {
            match handshake.poll(&mut buf) {
                Ok(DtlsEvent::Transmit(len)) => assert!(len <= buf.len()),
                Ok(DtlsEvent::Keys(..)) => panic!("keys for nobody"),
                Ok(DtlsEvent::Closed) | Err(_) => return,
                Ok(DtlsEvent::Wait(_)) => break,
            }
        }
    }
}

/// Arbitrary bytes as an RTP packet: the parsed header is written the same way again.
pub fn rtp(data: &[u8]) {
    let Some(header) = RtpHeader::parse(data) else { return };
    assert!(header.len <= data.len());
    let elements: Vec<_> = header.extensions(data).collect();
    assert!(elements.iter().map(|(_, data)| data.len() + 1).sum::<usize>() <= header.len);
    assert!(header.payload(data).is_none_or(|payload| payload.len() <= data.len() - header.len));
    let new = NewHeader {
        marker: header.marker,
        payload_type: header.payload_type,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        padding: header.padding,
    };
    let mut out = vec![0; data.len() * 2 + 32];
    let len = write_header(new, elements.iter().copied(), &mut out).expect("there is room");
    let again = RtpHeader::parse(&out[..len]).expect("we understand what we write");
    assert_eq!(
        (again.marker, again.payload_type, again.sequence),
        (new.marker, new.payload_type, new.sequence)
    );
    assert_eq!((again.timestamp, again.ssrc, again.len), (new.timestamp, new.ssrc, len));
    assert_eq!(again.extensions(&out[..len]).collect::<Vec<_>>(), elements);
}

/// Arbitrary bytes as a compound RTCP packet.
pub fn rtcp(data: &[u8]) {
    for (count, packet) in Compound::new(data).enumerate() {
        assert!(count < data.len());
        match packet {
            Rtcp::Nack(nack) => assert!(nack.sequences().count() <= data.len() * 17),
            Rtcp::Twcc(feedback) => {
                let mut numbers = HashSet::new();
                assert!(feedback.arrivals().all(|arrival| numbers.insert(arrival.sequence)));
                assert!(numbers.len() <= usize::from(MAX_STATUSES));
            }
            Rtcp::Fir(targets) => assert!(targets.count() <= data.len() / 8),
            Rtcp::SenderReport { reports, .. } | Rtcp::ReceiverReport { reports } => {
                assert!(reports.count() <= 31);
            }
            Rtcp::Bye(ssrcs) => assert!(ssrcs.count() <= 31),
            Rtcp::Pli(_) | Rtcp::Remb(_) => {}
        }
    }
}

/// Arbitrary bytes as a session description.
pub fn sdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(description) = RemoteDescription::parse(&text) {
        assert!(description.sections.len() <= MAX_SECTIONS);
        assert!((4..=256).contains(&description.ufrag.len()));
        let mids: HashSet<_> = description.sections.iter().map(|section| &section.mid).collect();
        assert_eq!(mids.len(), description.sections.len(), "sections have names of their own");
        for section in &description.sections {
            assert!(!section.mid.contains(char::is_whitespace), "a name cannot end its line");
            assert!(
                section
                    .codecs
                    .iter()
                    .all(|codec| codec.payload_type < 128 && codec.rtx.is_none_or(|rtx| rtx < 128))
            );
            assert!(section.codecs.iter().all(|codec| !codec.fmtp.contains(['\r', '\n'])));
        }
    }
    if let Ok(fragment) = RemoteFragment::parse(&text) {
        assert!(fragment.candidates <= text.len());
    }
}

/// Arbitrary bytes as an encrypted packet, and as the contents of one. The first byte selects the cipher.
pub fn srtp(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let profile = match choice % 3 {
        0 => SrtpProfile::AEAD_AES_128_GCM,
        1 => SrtpProfile::AEAD_AES_256_GCM,
        _ => SrtpProfile::AES128_CM_SHA1_80,
    };
    let material: Vec<u8> = (0..88).collect();
    let (mut sealer, _) = srtp::keys(&material, profile, true).expect("there is material enough");
    let (_, mut opener) = srtp::keys(&material, profile, false).expect("there is material enough");

    let mut forged = data.to_vec();
    if let Some(header) = RtpHeader::parse(data) {
        assert!(opener.open_rtp(&mut forged, header.len, header.ssrc).is_err(), "nobody guesses a tag");
    }
    assert!(opener.open_rtcp(&mut data.to_vec()).is_err(), "nobody guesses a tag");

    // The same bytes as the payload of a packet to encrypt.
    let header =
        NewHeader { marker: false, payload_type: 96, sequence: 7, timestamp: 1, ssrc: 9, padding: false };
    let mut packet = vec![0; 12 + data.len() + RTP_OVERHEAD];
    write_header(header, std::iter::empty(), &mut packet).expect("there is room");
    packet[12..12 + data.len()].copy_from_slice(data);
    let len = sealer.seal_rtp(&mut packet, 12, 12 + data.len(), 9, 7).expect("there is room");
    packet.truncate(len);
    let at = usize::from(choice) * 31 % len;
    let mut changed = packet.clone();
    changed[at] ^= 1 << (choice % 8);
    let parsed = RtpHeader::parse(&changed);
    if let Some(parsed) = parsed {
        assert!(opener.open_rtp(&mut changed, parsed.len, parsed.ssrc).is_err(), "a changed bit at {at}");
    }
    let (plain_len, index) =
        opener.open_rtp(&mut packet.clone(), 12, 9).expect("what was sealed can be opened");
    assert_eq!((plain_len, index), (12 + data.len(), 7));
    assert_eq!(opener.open_rtp(&mut packet, 12, 9), Err(SrtpError::Replayed));

    let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
    report.extend(data);
    let plain = report.clone();
    report.resize(plain.len() + RTCP_OVERHEAD, 0);
    let len = sealer.seal_rtcp(&mut report, plain.len()).expect("there is room");
    report.truncate(len);
    let plain_len = opener.open_rtcp(&mut report).expect("what was sealed can be opened");
    assert_eq!(&report[..plain_len], plain);
}
