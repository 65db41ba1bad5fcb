//! Allocate and Refresh.

use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::method;
use stun_turn::{ExternalAddress, Features, Limits, OpenError, PathId, Transport};

use crate::support::*;

fn transport(protocol: u8) -> [u8; 4] {
    [protocol, 0, 0, 0]
}

#[test]
fn an_allocation_lives_until_its_lifetime_is_over() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let relay = client.allocate(&mut lab);
    assert_eq!(relay, "198.51.100.1:50000".parse().unwrap());
    lab.pass(Duration::from_secs(599));
    assert_eq!(lab.open_relays.len(), 1);
    lab.pass(Duration::from_secs(1));
    assert!(lab.open_relays.is_empty());
    assert_eq!(lab.context.quotas.total(), 0);
    assert_eq!(lab.shard.counters().allocations_expired, 1);
    assert_eq!(lab.shard.poll_timeout(), None);
}

#[test]
fn a_refresh_prolongs_and_zero_ends() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    lab.pass(Duration::from_secs(500));
    assert_eq!(client.refresh(&mut lab, 900).lifetime(), 900);
    lab.pass(Duration::from_secs(899));
    assert_eq!(lab.open_relays.len(), 1);
    assert_eq!(client.refresh(&mut lab, 0).lifetime(), 0);
    assert!(lab.open_relays.is_empty());
    assert_eq!(client.refresh(&mut lab, 0).code, Some(437), "gone already");
}

#[test]
fn lifetimes_are_at_least_the_default_and_at_most_the_limit() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    assert_eq!(client.refresh(&mut lab, 1).lifetime(), 600);
    assert_eq!(client.refresh(&mut lab, u32::MAX).lifetime(), 3600);
}

#[test]
fn a_client_that_refreshes_without_pause_costs_no_memory() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    for step in 0..1000 {
        assert_eq!(client.refresh(&mut lab, 600 + step).code, None);
        lab.pass(Duration::from_millis(1));
    }
    client.refresh(&mut lab, 0);
    lab.pass(Duration::from_hours(2));
    assert_eq!(lab.shard.poll_timeout(), None);
}

#[test]
fn the_same_request_again_gets_the_same_answer_and_another_one_a_mismatch() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.refresh(&mut lab, 0);
    let transaction = client.transaction();
    let request = client.build_as(transaction, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
    });
    let first = Response::read(&lab.client(client.tuple, &request).1[0]);
    let second = Response::read(&lab.client(client.tuple, &request).1[0]);
    assert_eq!(first.address(attr::XOR_RELAYED_ADDRESS), second.address(attr::XOR_RELAYED_ADDRESS));
    assert_eq!(lab.open_relays.len(), 1);
    let response = client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
    });
    assert_eq!(response.code, Some(437));
}

#[test]
fn the_transport_must_be_named_and_known() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    assert_eq!(client.request(&mut lab, method::ALLOCATE, |_| {}).code, Some(400));
    for (protocol, code) in [(6, 442), (1, 442)] {
        let response = client.request(&mut lab, method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &transport(protocol));
        });
        assert_eq!(response.code, Some(code));
    }
    let response = client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &[17]);
    });
    assert_eq!(response.code, Some(400));
}

#[test]
fn families_can_be_asked_for_alone_or_together() {
    let cases = [
        (attr::REQUESTED_ADDRESS_FAMILY, 1, Ok(vec!["198.51.100.1:50000"])),
        (attr::REQUESTED_ADDRESS_FAMILY, 2, Ok(vec!["[2001:470:1::1]:50000"])),
        (attr::REQUESTED_ADDRESS_FAMILY, 3, Err(440)),
        (attr::ADDITIONAL_ADDRESS_FAMILY, 2, Ok(vec!["198.51.100.1:50000", "[2001:470:1::1]:50001"])),
        (attr::ADDITIONAL_ADDRESS_FAMILY, 1, Err(400)),
    ];
    for (kind, family, expected) in cases {
        let mut lab = Lab::new();
        let mut client = Client::new("192.0.2.1:5000", "alice");
        let response = client.request(&mut lab, method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
            message.bytes(kind, &[family, 0, 0, 0]);
        });
        match expected {
            Err(code) => assert_eq!(response.code, Some(code)),
            Ok(relays) => {
                let found = response.addresses(attr::XOR_RELAYED_ADDRESS);
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                assert_eq!(found, relays);
            }
        }
    }
}

#[test]
fn a_family_that_is_not_there_is_told_beside_the_one_that_is() {
    let mut settings = settings();
    settings.relays.other_v6 = None;
    let mut lab = Lab::with(settings);
    let mut client = Client::new("192.0.2.1:5000", "alice");
    let response = client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        message.bytes(attr::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    });
    assert_eq!(response.addresses(attr::XOR_RELAYED_ADDRESS).len(), 1);
    assert_eq!(&response.get(attr::ADDRESS_ERROR_CODE).unwrap()[..4], &[2, 0, 4, 40]);
}

#[test]
fn a_client_that_names_no_family_gets_ipv4_where_there_is_any() {
    for (other_v4, relay) in
        [(Some([198, 51, 100, 1].into()), "198.51.100.1:50000"), (None, "[2001:470:1::1]:50000")]
    {
        let mut settings = settings();
        settings.relays.other_v4 = other_v4;
        let mut lab = Lab::with(settings);
        let mut client = Client::new("[2001:db8::5]:5000", "alice");
        client.tuple.server = "[2001:470:1::1]:3478".parse().unwrap();
        let response = client.request(&mut lab, method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        });
        assert_eq!(response.address(attr::XOR_RELAYED_ADDRESS).to_string(), relay);
        let mut client = Client::new("[2001:db8::5]:5001", "alice");
        client.tuple.server = "[2001:470:1::1]:3478".parse().unwrap();
        let response = client.request(&mut lab, method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
            message.bytes(attr::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]);
        });
        // A family that is named is the one that is meant.
        assert_eq!(response.code, other_v4.is_none().then_some(440));
    }
}

#[test]
fn one_of_two_families_can_be_given_up() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        message.bytes(attr::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    });
    let mut end = |family: u8| {
        let response = client.request(&mut lab, method::REFRESH, |message| {
            message.bytes(attr::LIFETIME, &[0; 4]);
            message.bytes(attr::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0]);
        });
        (response.code, lab.open_relays.len())
    };
    assert_eq!(end(2), (None, 1));
    assert_eq!(end(2), (Some(443), 1));
    assert_eq!(end(1), (None, 0));
}

#[test]
fn a_reserved_port_goes_to_who_has_the_token() {
    let mut lab = Lab::new();
    lab.next_port = 50_001;
    let mut first = Client::new("192.0.2.1:5000", "alice");
    let response = first.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        message.bytes(attr::EVEN_PORT, &[0x80]);
    });
    assert_eq!(response.address(attr::XOR_RELAYED_ADDRESS).port(), 50_002);
    let token = response.get(attr::RESERVATION_TOKEN).expect("a token").to_vec();
    let mut second = Client::new("192.0.2.1:5001", "alice");
    let with_token = |message: &mut stun_turn::wire::MessageBuilder| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        message.bytes(attr::RESERVATION_TOKEN, &token);
    };
    let response = second.request(&mut lab, method::ALLOCATE, with_token);
    assert_eq!(response.address(attr::XOR_RELAYED_ADDRESS).port(), 50_003);
    let mut third = Client::new("192.0.2.1:5002", "alice");
    assert_eq!(third.request(&mut lab, method::ALLOCATE, with_token).code, Some(508));
    let response = third.request(&mut lab, method::ALLOCATE, |message| {
        with_token(message);
        message.bytes(attr::EVEN_PORT, &[0]);
    });
    assert_eq!(response.code, Some(400));
}

#[test]
fn failures_to_open_a_socket_are_told_and_give_the_quota_back() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    for (error, code) in [(OpenError::Exhausted, 508), (OpenError::AddressUnavailable, 440)] {
        client.refresh(&mut lab, 0);
        lab.fail_next = Some(error);
        let response = client.request(&mut lab, method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        });
        assert_eq!(response.code, Some(code));
        assert_eq!(lab.context.quotas.total(), 0);
    }
}

#[test]
fn quotas_hold_by_user_whatever_the_expiry_in_the_name() {
    let mut settings = settings();
    settings.limits = Limits { allocations_per_user: 2, ..Limits::default() };
    let mut lab = Lab::with(settings);
    Client::new("192.0.2.1:5000", "alice").allocate(&mut lab);
    Client::new("192.0.2.1:5001", "alice").allocate(&mut lab);
    let mut third = Client::new("192.0.2.1:5002", "alice");
    let response = third.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
    });
    assert_eq!(response.code, Some(486));
    Client::new("192.0.2.1:5003", "bob").allocate(&mut lab);
}

#[test]
fn draining_sends_new_clients_away_and_keeps_the_others() {
    let mut lab = Lab::new();
    let mut old = Client::new("192.0.2.1:5000", "alice");
    old.allocate(&mut lab);
    lab.shard.drain(Some("203.0.113.9:3478".parse().unwrap()), None);
    let ask = |lab: &mut Lab, address: &str| {
        Client::new(address, "bob").request(lab, method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        })
    };
    let response = ask(&mut lab, "192.0.2.2:5000");
    assert_eq!(response.code, Some(300));
    assert_eq!(response.get(attr::ALTERNATE_SERVER), Some(&[0, 1, 0x0d, 0x96, 203, 0, 113, 9][..]));
    assert_eq!(ask(&mut lab, "[2001:470:2::1]:5000").code, Some(508), "no alternate of that family");
    assert_eq!(old.refresh(&mut lab, 600).code, None);
}

#[test]
fn the_address_shown_is_the_external_one() {
    let mut settings = settings();
    let public = "203.0.113.50".parse().unwrap();
    settings.relays.external = vec![ExternalAddress { public, private: None }];
    let mut lab = Lab::with(settings);
    let relay = Client::new("192.0.2.1:5000", "alice").allocate(&mut lab);
    assert_eq!(relay, "203.0.113.50:50000".parse().unwrap());
}

#[test]
fn a_stream_that_ends_takes_its_allocation_with_it() {
    let mut lab = Lab::new();
    let mut client = Client::over(Transport::Tcp, "192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    lab.shard.handle_input(lab.now, stun_turn::Input::Disconnected { tuple: client.tuple });
    lab.drain();
    assert!(lab.open_relays.is_empty());
}

#[test]
fn with_mobility_an_allocation_follows_its_client() {
    let mut settings = settings();
    settings.features = Features { mobility: true, ..Features::default() };
    let mut lab = Lab::with(settings);
    let mut client = Client::over(Transport::Tcp, "192.0.2.1:5000", "alice");
    let response = client.request(&mut lab, method::ALLOCATE, |message| {
        message.bytes(attr::REQUESTED_TRANSPORT, &transport(17));
        message.bytes(attr::MOBILITY_TICKET, &[]);
    });
    let relay = response.address(attr::XOR_RELAYED_ADDRESS);
    let ticket = response.get(attr::MOBILITY_TICKET).expect("a ticket").to_vec();
    assert_eq!(client.bind(&mut lab, 0x4000, "8.8.8.8:53"), None);
    lab.shard.handle_input(lab.now, stun_turn::Input::Disconnected { tuple: client.tuple });
    lab.drain();

    let mut mover = Client::new("192.0.2.77:6000", "alice");
    let with_ticket = |message: &mut stun_turn::wire::MessageBuilder| {
        message.bytes(attr::LIFETIME, &600_u32.to_be_bytes());
        message.bytes(attr::MOBILITY_TICKET, &ticket);
    };
    let mut thief = Client::new("192.0.2.78:6000", "mallory");
    assert_eq!(thief.request(&mut lab, method::REFRESH, with_ticket).code, Some(441));
    assert_eq!(mover.request(&mut lab, method::REFRESH, with_ticket).code, None);
    let (sent, _) = lab.client(mover.tuple, &channel_data(0x4000, b"hello"));
    assert!(matches!(sent, Some(Sent::ToPeer { from, .. }) if from == relay));
    let back = lab.peer(relay, "8.8.8.8:53", b"back");
    assert!(matches!(back, Some(Sent::ToClient { tuple, .. }) if tuple == mover.tuple));
    assert_ne!(PathId::NOWHERE, PathId(1));
}
