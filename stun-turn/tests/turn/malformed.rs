//! What is cut short, lies about its length or comes from elsewhere changes nothing.

use stun_turn::wire::attribute as attr;
use stun_turn::wire::method;
use stun_turn::{Counters, Transport};

use crate::support::*;

/// Everything but the counts of what was dropped.
fn state(lab: &Lab) -> (usize, usize, u64, Option<std::time::Instant>) {
    let Counters { allocations, .. } = *lab.shard.counters();
    (lab.open_relays.len(), lab.context.quotas.total(), allocations, lab.shard.poll_timeout())
}

#[test]
fn a_valid_request_cut_anywhere_or_with_any_bit_flipped_does_nothing() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    let before = state(&lab);
    let delete = client.build(method::REFRESH, |message| {
        message.bytes(attr::LIFETIME, &[0; 4]);
    });
    for end in 0..delete.len() {
        assert_eq!(lab.client(client.tuple, &delete[..end]).0, None);
    }
    // The eight bytes of FINGERPRINT come after the integrity: without them the request is as good as with them.
    for bit in 0..(delete.len() - 8) * 8 {
        let mut touched = delete.clone();
        touched[bit / 8] ^= 1 << (bit % 8);
        lab.client(client.tuple, &touched);
    }
    for extra in 1..9 {
        let longer = [&delete[..], &vec![0; extra]].concat();
        assert_eq!(lab.client(client.tuple, &longer), (None, vec![]));
    }
    assert_eq!(state(&lab), before);
    assert_eq!(Response::read(&lab.client(client.tuple, &delete).1[0]).code, None, "whole, it works");
    assert!(lab.open_relays.is_empty());
}

#[test]
fn foreign_five_tuples_have_nothing() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    client.bind(&mut lab, 0x4000, "8.8.8.8:53");
    let data = channel_data(0x4000, b"hi");
    assert!(lab.client(client.tuple, &data).0.is_some());
    let mut others = vec![client.tuple; 4];
    others[0].client.set_port(5001);
    others[1].client.set_ip("192.0.2.2".parse().unwrap());
    others[2].server.set_port(3479);
    others[3].transport = Transport::Tcp;
    for other in others {
        assert_eq!(lab.client(other, &data), (None, vec![]), "{other:?}");
    }
}

#[test]
fn channel_data_that_lies_is_dropped() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    client.bind(&mut lab, 0x4000, "8.8.8.8:53");
    for message in
        [&[0x40][..], &[0x40, 0, 0], &[0x40, 0, 0, 9, 1], &[0x40, 0, 0, 0, 1, 2, 3, 4], &[0x40, 1, 0, 1, 9]]
    {
        assert_eq!(lab.client(client.tuple, message), (None, vec![]), "{message:?}");
    }
}

#[test]
fn attributes_that_run_past_the_end_are_dropped() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    client.permit(&mut lab, &["8.8.8.8:53"]);
    let before = state(&lab);
    let indication = client.send("8.8.8.8:53", b"hi there");
    assert!(lab.client(client.tuple, &indication).0.is_some());
    let request = client.build(method::CREATE_PERMISSION, |message| {
        message.xor_address(attr::XOR_PEER_ADDRESS, "8.8.4.4:53".parse().unwrap());
    });
    for message in [indication, request] {
        let starts = attribute_starts(&message);
        assert!(starts.len() > 1);
        for start in starts {
            let room = message.len() - start - 4;
            for length in [room + 1, room + 4, 0x7fff, 0xffff] {
                let mut lying = message.clone();
                lying[start + 2..start + 4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
                assert_eq!(lab.client(client.tuple, &lying), (None, vec![]), "{length} at {start}");
            }
        }
    }
    assert_eq!(state(&lab), before);
    let indication = client.send("8.8.4.4:53", b"hi");
    assert_eq!(lab.client(client.tuple, &indication).0, None, "no permission came of it");
}

/// Where the attributes of a message begin.
fn attribute_starts(message: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 20;
    while at + 4 <= message.len() {
        starts.push(at);
        at += 4 + usize::from(u16::from_be_bytes([message[at + 2], message[at + 3]])).next_multiple_of(4);
    }
    starts
}

#[test]
fn channels_that_are_not_bound_lead_nowhere() {
    let mut lab = Lab::new();
    let mut client = Client::new("192.0.2.1:5000", "alice");
    client.allocate(&mut lab);
    client.bind(&mut lab, 0x4001, "8.8.8.8:53");
    for channel in [0x4000, 0x4002, 0x4fff, 0x5000, 0x7fff] {
        assert_eq!(lab.client(client.tuple, &channel_data(channel, b"hi")), (None, vec![]), "{channel:#x}");
    }
    assert!(lab.client(client.tuple, &channel_data(0x4001, b"hi")).0.is_some());
}

#[test]
fn indications_and_answers_that_clients_have_no_reason_to_send_are_ignored() {
    let mut lab = Lab::new();
    let client = Client::new("192.0.2.1:5000", "alice");
    for kind in
        [[0x00, 0x11], [0x01, 0x01], [0x01, 0x11], [0x00, 0x17], [0x01, 0x03], [0x00, 0x13], [0x3e, 0xef]]
    {
        let mut message = kind.to_vec();
        message.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
        message.extend([1; 12]);
        assert_eq!(lab.client(client.tuple, &message), (None, vec![]), "{kind:?}");
    }
}
