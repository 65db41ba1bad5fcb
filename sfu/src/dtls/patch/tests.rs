#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::collections::VecDeque;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, RsaKeyPair};
use dimpl::crypto::{HashAlgorithm, SignatureAlgorithm};

use super::hello::HelloReader;
use super::messages::{
    MESSAGE_HEADER, Message, Record, complete_request, hide_slow_profile, restore, write_message,
    write_record,
};
use super::provider;
use crate::dtls::*;

/// The two ends of an association, with their pending datagrams.
struct Pair {
    now: Instant,
    ends: [Handshake; 2],
    outboxes: [VecDeque<Vec<u8>>; 2],
    keys: [Option<(Vec<u8>, SrtpProfile)>; 2],
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let ends = [
            Handshake::new(&client, Role::Client, server.fingerprint, now),
            Handshake::new(&server, Role::Server, client.fingerprint, now),
        ];
        let mut pair = Self { now, ends, outboxes: Default::default(), keys: [None, None] };
        pair.timeout(CLIENT);
        pair
    }

    fn timeout(&mut self, end: usize) {
        self.ends[end].handle_timeout(self.now).unwrap();
        self.drain(end);
    }

    fn drain(&mut self, end: usize) {
        let mut buf = vec![0; 2048];
        loop {
            match self.ends[end].poll(&mut buf).unwrap() {
                DtlsEvent::Transmit(len) => self.outboxes[end].push_back(buf[..len].to_vec()),
                DtlsEvent::Keys(material, profile) => self.keys[end] = Some((material, profile)),
                DtlsEvent::Closed | DtlsEvent::Wait(_) => return,
            }
        }
    }

    fn deliver(&mut self, to: usize, datagram: &[u8]) {
        self.ends[to].handle_packet(self.now, datagram).unwrap();
        self.drain(to);
    }

    /// Runs until neither end has anything to send.
    fn run(&mut self) {
        loop {
            if let Some(datagram) = self.outboxes[CLIENT].pop_front() {
                self.deliver(SERVER, &datagram);
            } else if let Some(datagram) = self.outboxes[SERVER].pop_front() {
                self.deliver(CLIENT, &datagram);
            } else {
                return;
            }
        }
    }

    fn assert_connected(&self) {
        let [Some(client), Some(server)] = &self.keys else { panic!("no keys: {:?}", self.keys) };
        assert_eq!(client, server);
        assert_eq!(client.1, SrtpProfile::AEAD_AES_128_GCM, "though both know AES-256-GCM");
    }

    /// The client's hello in fragments of at most `most` bytes.
    fn hello_in_pieces(&mut self, most: usize) -> Vec<Vec<u8>> {
        let hello = self.outboxes[CLIENT].pop_front().unwrap();
        let (record, _) = Record::split(&hello).unwrap();
        let (header, body) = record.fragment.split_at(MESSAGE_HEADER);
        body.chunks(most)
            .scan(0_usize, |offset, piece| {
                let mut fragment = header[..6].to_vec();
                fragment.extend_from_slice(&offset.to_be_bytes()[5..]);
                fragment.extend_from_slice(&piece.len().to_be_bytes()[5..]);
                fragment.extend_from_slice(piece);
                *offset += piece.len();
                let mut datagram = Vec::new();
                write_record(record.head, &fragment, &mut datagram);
                Some(datagram)
            })
            .collect()
    }
}

#[test]
fn the_faster_profile_is_taken() {
    let mut pair = Pair::new();
    pair.run();
    pair.assert_connected();
}

#[test]
fn a_hello_comes_in_pieces_in_any_order_and_twice() {
    for most in [11, 40, 90] {
        let mut pair = Pair::new();
        let pieces = pair.hello_in_pieces(most);
        assert!(pieces.len() > 1);
        for piece in pieces.iter().skip(1).rev().flat_map(|piece| [piece, piece]) {
            pair.deliver(SERVER, piece);
            assert!(pair.outboxes[SERVER].is_empty(), "it answers before it has everything");
        }
        pair.deliver(SERVER, &pieces[0]);
        pair.run();
        pair.assert_connected();
    }
}

#[test]
fn pieces_side_by_side_in_one_datagram_are_a_hello() {
    let mut pair = Pair::new();
    let datagram = pair.hello_in_pieces(60).concat();
    pair.deliver(SERVER, &datagram);
    pair.run();
    pair.assert_connected();
}

#[test]
fn any_lost_datagram_is_sent_again() {
    for lost in 0..6 {
        let mut pair = Pair::new();
        let mut count = 0;
        for _ in 0..20 {
            for end in [CLIENT, SERVER] {
                while let Some(datagram) = pair.outboxes[end].pop_front() {
                    if count != lost {
                        pair.deliver(1 - end, &datagram);
                    }
                    count += 1;
                }
            }
            pair.now += Duration::from_millis(500);
            pair.timeout(CLIENT);
            pair.timeout(SERVER);
        }
        pair.assert_connected();
    }
}

/// The server's first flight, as received by the client.
fn flight() -> Vec<u8> {
    let mut pair = Pair::new();
    let hello = pair.outboxes[CLIENT].pop_front().unwrap();
    pair.deliver(SERVER, &hello);
    assert_eq!(pair.outboxes[SERVER].len(), 1, "the request stands in one piece only if the flight does");
    pair.outboxes[SERVER].pop_front().unwrap()
}

fn messages(datagram: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = datagram;
    std::iter::from_fn(|| {
        let (record, next) = Record::split(rest)?;
        rest = next;
        let (message, _) = Message::split(record.fragment)?;
        Some((message.kind, message.part.to_vec()))
    })
    .collect()
}

#[test]
fn clients_are_asked_for_certificates_with_ecdsa_and_rsa() {
    let flight = messages(&flight());
    assert_eq!(flight.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [2, 11, 12, 13, 14]);
    let request = &flight[3].1;
    assert_eq!(request[..], [2, 64, 1, 0, 10, 4, 3, 5, 3, 4, 1, 5, 1, 6, 1, 0, 0]);
}

/// A hello that offers these SRTP profiles.
fn hello(profiles: &[u16]) -> Vec<u8> {
    let profiles: Vec<u8> = profiles.iter().flat_map(|profile| profile.to_be_bytes()).collect();
    let length = |more: usize| u16::try_from(profiles.len() + more).unwrap().to_be_bytes();
    let mut hello = vec![0xfe, 0xfd];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let extensions = [&[0, 23, 0, 0, 0, 14], &length(3)[..], &length(0)[..], &profiles, &[0]].concat();
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    hello
}

#[test]
fn a_profile_is_hidden_where_there_is_a_better_one_and_comes_back() {
    for profiles in [&[1, 7, 8][..], &[8, 7], &[1, 8], &[8], &[1], &[7, 1, 2, 8], &[]] {
        let said = hello(profiles);
        let mut seen = said.clone();
        hide_slow_profile(&mut seen);
        let is_hidden = profiles.contains(&7) && profiles.contains(&8);
        assert_eq!(seen != said, is_hidden, "{profiles:?}");
        let message = |body: &[u8]| {
            let mut out = Vec::new();
            write_message(1, [0, 0], body, &mut out);
            out
        };
        assert_eq!(restore(&message(&seen))[..], message(&said)[..], "{profiles:?}");
    }
}

#[test]
fn what_is_cut_off_or_garbled_stays_as_it_is() {
    let flight = flight();
    let hello = hello(&[1, 7, 8]);
    for cut in 0..flight.len() {
        complete_request(&flight[..cut]);
        restore(&flight[..cut]);
    }
    for at in 0..hello.len() {
        hide_slow_profile(&mut hello[..at].to_vec());
        for value in [0, 1, 0x7f, 0xff] {
            let mut garbled = hello.clone();
            garbled[at] = value;
            hide_slow_profile(&mut garbled);
            assert_eq!(garbled.len(), hello.len());
            HelloReader::default().read(&garbled);
        }
    }
}

#[test]
fn signatures_are_verified_with_rsa_keys() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
    let signer = RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
    let mut signature = vec![0; signer.public_modulus_len()];
    let said = b"what has been said";
    signer.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), said, &mut signature).unwrap();

    let verify = |certificate: &[u8], said: &[u8], signature: &[u8], hash| {
        let verifier = provider::of_server().signature_verification;
        verifier.verify_signature(certificate, said, signature, hash, SignatureAlgorithm::RSA)
    };
    assert_eq!(verify(certificate.der(), said, &signature, HashAlgorithm::SHA256), Ok(()));
    verify(certificate.der(), b"something else", &signature, HashAlgorithm::SHA256).unwrap_err();
    verify(certificate.der(), said, &signature, HashAlgorithm::SHA384).unwrap_err();
    verify(certificate.der(), said, &signature, HashAlgorithm::SHA1).unwrap_err();
    verify(certificate.der(), said, &signature[1..], HashAlgorithm::SHA256).unwrap_err();
    verify(&certificate.der()[1..], said, &signature, HashAlgorithm::SHA256).unwrap_err();
    let other = Identity::generate().unwrap();
    verify(&other.certificate.certificate, said, &signature, HashAlgorithm::SHA256).unwrap_err();
}
