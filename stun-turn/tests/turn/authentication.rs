//! Credentials, nonces and what strangers get.

use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, method};
use stun_turn::{IntegrityAlgorithm, Key, Limits, PasswordAlgorithm, StaticUser};

use crate::support::*;

fn unsigned_allocate() -> Vec<u8> {
    let mut message = MessageBuilder::request(method::ALLOCATE, TransactionId([5; 12]));
    message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    message.finish(None)
}

#[test]
fn binding_needs_no_credentials() {
    let mut lab = Lab::new();
    let client = Client::new("192.0.2.1:5000", "alice");
    let request =
        MessageBuilder::request(method::BINDING, TransactionId([1; 12])).with_fingerprint().finish(None);
    let (_, answers) = lab.client(client.tuple, &request);
    let response = Response::read(&answers[0]);
    assert_eq!(response.address(attr::XOR_MAPPED_ADDRESS), client.tuple.client);
    assert!(response.get(attr::FINGERPRINT).is_some(), "as in the request");
    assert!(answers[0].len() <= 40, "{} bytes", answers[0].len());
}

#[test]
fn unknown_mandatory_attributes_are_named() {
    let mut lab = Lab::new();
    let client = Client::new("192.0.2.1:5000", "alice");
    let mut request = MessageBuilder::request(method::BINDING, TransactionId([1; 12]));
    request.bytes(0x7001, &[1, 2, 3]);
    request.bytes(attr::CHANGE_REQUEST, &[0, 0, 0, 6]);
    request.bytes(0x9001, &[1]);
    let (_, answers) = lab.client(client.tuple, &request.finish(None));
    let response = Response::read(&answers[0]);
    assert_eq!(response.code, Some(420));
    assert_eq!(response.get(attr::UNKNOWN_ATTRIBUTES), Some(&[0x70, 0x01, 0x00, 0x03][..]));
}

#[test]
fn a_stranger_leaves_no_state() {
    let mut lab = Lab::new();
    for port in 1000..2000 {
        let client = Client::new(&format!("192.0.2.1:{port}"), "alice");
        lab.client(client.tuple, &unsigned_allocate());
    }
    assert!(lab.open_relays.is_empty());
    assert_eq!(lab.context.quotas.total(), 0);
    assert_eq!(lab.shard.poll_timeout(), None);
}

#[test]
fn answers_to_strangers_are_limited_by_address() {
    let mut settings = settings();
    settings.limits = Limits { unauthenticated_per_second: Some(5), ..Limits::default() };
    let mut lab = Lab::with(settings);
    let flood = |lab: &mut Lab, host: &str, count: u16| {
        let answers = (0..count).map(|port| {
            let client = Client::new(&format!("{host}:{}", 1000 + port), "alice");
            lab.client(client.tuple, &unsigned_allocate()).1.len()
        });
        answers.sum::<usize>()
    };
    assert_eq!(flood(&mut lab, "192.0.2.1", 200), 50);
    assert_eq!(lab.shard.counters().rate_limited, 150);
    assert_eq!(flood(&mut lab, "192.0.2.99", 10), 10, "another address has its own");
    lab.pass(Duration::from_secs(2));
    assert_eq!(flood(&mut lab, "192.0.2.1", 200), 10);
    // Hosts of one /64 share.
    assert_eq!(flood(&mut lab, "[2001:470:9::1]", 50), 50);
    assert_eq!(flood(&mut lab, "[2001:470:9::2]", 50), 0);
}

#[test]
fn a_challenge_carries_what_is_needed_and_little_more() {
    let mut lab = Lab::new();
    let client = Client::new("192.0.2.1:5000", "alice");
    let (_, answers) = lab.client(client.tuple, &unsigned_allocate());
    let response = Response::read(&answers[0]);
    assert_eq!(response.code, Some(401));
    assert_eq!(response.get(attr::REALM), Some(REALM.as_bytes()));
    assert!(response.get(attr::NONCE).unwrap().starts_with(b"obMatJos2"));
    assert_eq!(response.get(attr::PASSWORD_ALGORITHMS), Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
    assert!(response.bytes.len() <= 120, "{} bytes", response.bytes.len());
}

#[test]
fn every_pair_of_password_and_integrity_algorithm_works() {
    for password_algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
        for integrity in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
            let mut lab = Lab::new();
            let mut client = Client::new("192.0.2.1:5000", "alice");
            let pair = stun_turn::credentials::ephemeral(SECRET, "alice", VALID_UNTIL);
            client.key = Key::new(
                password_algorithm,
                pair.username.as_bytes(),
                REALM.as_bytes(),
                pair.password.as_bytes(),
            );
            client.password_algorithm = Some(password_algorithm);
            client.integrity = integrity;
            client.allocate(&mut lab);
            let response = client.refresh(&mut lab, 600);
            let expected = match integrity {
                IntegrityAlgorithm::Sha1 => attr::MESSAGE_INTEGRITY,
                IntegrityAlgorithm::Sha256 => attr::MESSAGE_INTEGRITY_SHA256,
            };
            assert!(response.get(expected).is_some(), "answered in kind");
        }
    }
}

#[test]
fn a_bid_down_of_the_password_algorithms_is_refused() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let response = client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        message.bytes(attr::PASSWORD_ALGORITHMS, &[0, 1, 0, 0]);
        message.bytes(attr::PASSWORD_ALGORITHM, &[0, 1, 0, 0]);
    });
    assert_eq!(response.code, Some(400));
}

#[test]
fn wrong_passwords_and_realms_and_expired_names_are_401() {
    let expired = stun_turn::credentials::ephemeral(SECRET, "alice", UNIX_START);
    let mut wrong_password = Client::new("192.0.2.1:5000", "alice");
    wrong_password.key = Key::new(PasswordAlgorithm::Md5, b"x", b"y", b"z");
    let mut wrong_realm = Client::new("192.0.2.1:5000", "alice");
    wrong_realm.realm = "elsewhere".to_owned();
    let mut too_late = Client::new("192.0.2.1:5000", "alice");
    too_late.key = Key::new(
        PasswordAlgorithm::Md5,
        expired.username.as_bytes(),
        REALM.as_bytes(),
        expired.password.as_bytes(),
    );
    too_late.username = expired.username;
    for mut client in [wrong_password, wrong_realm, too_late] {
        let mut lab = Lab::new();
        let first = lab.client(client.tuple, &unsigned_allocate()).1;
        client.nonce = Response::read(&first[0]).get(attr::NONCE).unwrap().to_vec();
        let request = client.build(method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        });
        let (_, answers) = lab.client(client.tuple, &request);
        assert_eq!(Response::read(&answers[0]).code, Some(401));
        assert!(lab.open_relays.is_empty());
        assert_eq!(lab.shard.counters().wrong_credentials, 1);
    }
}

#[test]
fn a_stale_or_foreign_nonce_is_438_and_changes_nothing() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    let replayed = client.build(method::REFRESH, |message| message.bytes(attr::LIFETIME, &[0; 4]));
    // The same bytes from another address: the nonce is not for it.
    let mut thief = Client::new("192.0.2.66:5000", "alice");
    assert_eq!(Response::read(&lab.client(thief.tuple, &replayed).1[0]).code, Some(438));
    // And later from the right one.
    lab.pass(Duration::from_secs(500));
    client.refresh(&mut lab, 600);
    lab.pass(Duration::from_secs(101));
    assert_eq!(Response::read(&lab.client(client.tuple, &replayed).1[0]).code, Some(438));
    assert_eq!(lab.open_relays.len(), 1);
    assert_eq!(thief.refresh(&mut lab, 0).code, Some(437));
}

#[test]
fn a_stale_nonce_under_a_wrong_password_is_401() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.nonce = b"obMatJos2gAAAnonsense".to_vec();
    client.key = Key::new(PasswordAlgorithm::Md5, b"x", b"y", b"z");
    let request = client.build(method::REFRESH, |_| {});
    assert_eq!(Response::read(&lab.client(client.tuple, &request).1[0]).code, Some(401));
}

#[test]
fn an_allocation_outlives_the_expiry_of_its_credentials() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    for _ in 0..(VALID_UNTIL - UNIX_START) / 590 + 2 {
        lab.pass(Duration::from_secs(590));
        assert_eq!(client.refresh(&mut lab, 600).code, None);
    }
    // But nothing new can be had with them.
    let mut other = Client::new("192.0.2.1:5001", "alice");
    let first = lab.client(other.tuple, &unsigned_allocate()).1;
    other.nonce = Response::read(&first[0]).get(attr::NONCE).unwrap().to_vec();
    let request = other.build(method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    assert_eq!(Response::read(&lab.client(other.tuple, &request).1[0]).code, Some(401));
}

#[test]
fn the_allocation_of_one_user_is_not_anothers() {
    let mut lab = Lab::new();
    let mut alice = Client::new("192.0.2.1:5000", "alice");
    alice.allocate(&mut lab);
    let mut bob = Client::new("192.0.2.1:5000", "bob");
    assert_eq!(bob.refresh(&mut lab, 0).code, Some(441));
    assert_eq!(bob.permit(&mut lab, &["8.8.8.8:1"]), Some(441));
    assert_eq!(bob.bind(&mut lab, 0x4000, "8.8.8.8:1"), Some(441));
    assert_eq!(lab.open_relays.len(), 1);
}

#[test]
fn static_users_may_hide_their_name() {
    let mut settings = settings();
    settings.credentials.users =
        vec![StaticUser { username: "carol".to_owned(), password: "opensesame".to_owned() }];
    let mut lab = Lab::with(settings);
    let mut carol = Client::new("192.0.2.1:5000", "carol");
    carol.username = "carol".to_owned();
    carol.key = Key::new(PasswordAlgorithm::Md5, b"carol", REALM.as_bytes(), b"opensesame");
    let first = lab.client(carol.tuple, &unsigned_allocate()).1;
    let nonce = Response::read(&first[0]).get(attr::NONCE).unwrap().to_vec();
    assert!(nonce.starts_with(b"obMatJos2wAAA"), "the features say so");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("carol:{REALM}").as_bytes());
    let mut message = MessageBuilder::request(method::ALLOCATE, TransactionId([9; 12]));
    message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    message.bytes(attr::USERHASH, digest.as_ref());
    message.bytes(attr::REALM, REALM.as_bytes());
    message.bytes(attr::NONCE, &nonce);
    let message = message.finish(Some((&carol.key, IntegrityAlgorithm::Sha1)));
    assert_eq!(Response::read(&lab.client(carol.tuple, &message).1[0]).code, None);
    carol.nonce = nonce;
    assert_eq!(carol.refresh(&mut lab, 600).code, None, "and show it later");
}

#[test]
fn integrity_without_name_realm_or_nonce_is_400() {
    let mut lab = Lab::new();
    let client = Client::new("192.0.2.1:5000", "alice");
    let mut message = MessageBuilder::request(method::ALLOCATE, TransactionId([9; 12]));
    message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    let message = message.finish(Some((&client.key, IntegrityAlgorithm::Sha1)));
    assert_eq!(Response::read(&lab.client(client.tuple, &message).1[0]).code, Some(400));
}
