//! Random sequences of requests, data and waiting, against a model that is nothing but tables.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use stun_turn::Limits;

use crate::support::*;

const PEERS: [&str; 4] = ["8.8.8.1:1000", "8.8.8.1:2000", "8.8.8.2:1000", "10.0.0.1:1000"];
const CHANNELS: [u16; 3] = [0x4000, 0x4001, 0x5000];
const LIMIT: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Allocate(usize),
    Refresh(usize, u32),
    Permit(usize, usize),
    Bind(usize, usize, usize),
    ChannelData(usize, usize),
    Send(usize, usize),
    FromPeer(usize, usize),
    Wait(u64),
    Noise(usize, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let (client, peer, channel) = (0..5_usize, 0..PEERS.len(), 0..CHANNELS.len());
    prop_oneof![
        3 => client.clone().prop_map(Step::Allocate),
        1 => (client.clone(), prop_oneof![Just(0), Just(600), Just(1200)]).prop_map(|(c, l)| Step::Refresh(c, l)),
        2 => (client.clone(), peer.clone()).prop_map(|(c, p)| Step::Permit(c, p)),
        2 => (client.clone(), channel.clone(), peer.clone()).prop_map(|(c, n, p)| Step::Bind(c, n, p)),
        3 => (client.clone(), channel).prop_map(|(c, n)| Step::ChannelData(c, n)),
        3 => (client.clone(), peer.clone()).prop_map(|(c, p)| Step::Send(c, p)),
        3 => (client.clone(), peer).prop_map(|(c, p)| Step::FromPeer(c, p)),
        2 => (0..400_u64).prop_map(Step::Wait),
        1 => (client, proptest::collection::vec(any::<u8>(), 0..64)).prop_map(|(c, b)| Step::Noise(c, b)),
    ]
}

/// What should be true, in seconds since the start.
#[derive(Default)]
struct Model {
    now: u64,
    allocations: HashMap<usize, Entry>,
}

struct Entry {
    relay: SocketAddr,
    expires: u64,
    permissions: HashMap<&'static str, u64>,
    channels: HashMap<u16, (usize, u64)>,
}

fn host(peer: usize) -> &'static str {
    PEERS[peer].split(':').next().unwrap()
}

impl Model {
    fn entry(&mut self, client: usize) -> Option<&mut Entry> {
        let now = self.now;
        self.allocations.retain(|_, entry| entry.expires > now);
        let entry = self.allocations.get_mut(&client)?;
        entry.channels.retain(|_, (_, expires)| *expires > now);
        entry.permissions.retain(|_, expires| *expires > now);
        Some(entry)
    }
}

#[allow(clippy::too_many_lines, reason = "one arm for each kind of step")]
fn run(steps: &[Step]) {
    let mut settings = settings();
    settings.limits = Limits { allocations: LIMIT, ..Limits::default() };
    let mut lab = Lab::with(settings);
    let mut clients: Vec<Client> =
        (0..5).map(|n| Client::new(&format!("192.0.2.{n}:5000"), &format!("user{n}"))).collect();
    let mut model = Model::default();
    for step in steps {
        match *step {
            Step::Wait(seconds) => {
                lab.pass(Duration::from_secs(seconds));
                model.now += seconds;
            }
            Step::Allocate(c) => {
                let is_there = model.entry(c).is_some();
                let response = clients[c].request(&mut lab, 3, |message| {
                    message.bytes(stun_turn::wire::attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
                });
                let expected = match (is_there, model.allocations.len() >= LIMIT) {
                    (true, _) => Some(437),
                    (false, true) => Some(486),
                    (false, false) => None,
                };
                assert_eq!(response.code, expected);
                if expected.is_none() {
                    let relay = response.address(stun_turn::wire::attribute::XOR_RELAYED_ADDRESS);
                    let expires = model.now + 600;
                    let entry =
                        Entry { relay, expires, permissions: HashMap::new(), channels: HashMap::new() };
                    model.allocations.insert(c, entry);
                }
            }
            Step::Refresh(c, lifetime) => {
                let response = clients[c].refresh(&mut lab, lifetime);
                let now = model.now;
                match model.entry(c) {
                    None => assert_eq!(response.code, Some(437)),
                    Some(entry) => {
                        assert_eq!(response.code, None);
                        entry.expires = now + u64::from(lifetime);
                    }
                }
            }
            Step::Permit(c, p) => {
                let code = clients[c].permit(&mut lab, &[PEERS[p]]);
                let now = model.now;
                match model.entry(c) {
                    None => assert_eq!(code, Some(437)),
                    Some(_) if host(p) == "10.0.0.1" => assert_eq!(code, Some(403)),
                    Some(entry) => {
                        assert_eq!(code, None);
                        entry.permissions.insert(host(p), now + 300);
                    }
                }
            }
            Step::Bind(c, n, p) => {
                let code = clients[c].bind(&mut lab, CHANNELS[n], PEERS[p]);
                let now = model.now;
                match model.entry(c) {
                    None => assert_eq!(code, Some(437)),
                    Some(_) if host(p) == "10.0.0.1" => assert_eq!(code, Some(403)),
                    Some(entry) => {
                        let number = CHANNELS[n];
                        let is_taken = entry
                            .channels
                            .iter()
                            .any(|(known, (peer, _))| (*known == number) != (*peer == p));
                        assert_eq!(code, is_taken.then_some(400));
                        if !is_taken {
                            entry.channels.insert(number, (p, now + 600));
                            entry.permissions.insert(host(p), now + 300);
                        }
                    }
                }
            }
            Step::ChannelData(c, n) => {
                let (sent, answers) = lab.client(clients[c].tuple, &channel_data(CHANNELS[n], b"data"));
                let expected =
                    model.entry(c).and_then(|entry| Some((entry.relay, entry.channels.get(&CHANNELS[n])?.0)));
                check_to_peer(sent, expected);
                assert!(answers.is_empty());
            }
            Step::Send(c, p) => {
                let indication = clients[c].send(PEERS[p], b"data");
                let (sent, answers) = lab.client(clients[c].tuple, &indication);
                let expected = model
                    .entry(c)
                    .and_then(|entry| entry.permissions.contains_key(host(p)).then_some((entry.relay, p)));
                check_to_peer(sent, expected);
                assert!(answers.is_empty());
            }
            Step::FromPeer(c, p) => {
                let Some(entry) = model.entry(c) else { continue };
                let sent = lab.peer(entry.relay, PEERS[p], b"data");
                let is_permitted = entry.permissions.contains_key(host(p));
                let channel =
                    entry.channels.iter().find(|(_, (peer, _))| *peer == p).map(|(number, _)| *number);
                match (sent, is_permitted, channel) {
                    (None, false, _) => {}
                    (Some(Sent::ToClient { tuple, message }), true, Some(channel)) => {
                        assert_eq!((tuple, message), (clients[c].tuple, channel_data(channel, b"data")));
                    }
                    (Some(Sent::ToClient { tuple, message }), true, None) => {
                        assert_eq!(tuple, clients[c].tuple);
                        assert_eq!(Response::read(&message).method, stun_turn::wire::method::DATA);
                    }
                    other => panic!("{other:?}"),
                }
            }
            Step::Noise(c, ref bytes) => {
                lab.client(clients[c].tuple, bytes);
            }
        }
        let now = model.now;
        model.allocations.retain(|_, entry| entry.expires > now);
        assert_eq!(lab.open_relays.len(), model.allocations.len());
        assert_eq!(lab.context.quotas.total(), model.allocations.len());
        assert_eq!(lab.shard.counters().allocations, model.allocations.len() as u64);
    }
}

fn check_to_peer(sent: Option<Sent>, expected: Option<(SocketAddr, usize)>) {
    match (sent, expected) {
        (None, None) => {}
        (Some(Sent::ToPeer { from, to, payload, .. }), Some((relay, peer))) => {
            assert_eq!((from, to), (relay, PEERS[peer].parse().unwrap()));
            assert_eq!(payload, b"data");
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn the_server_does_what_the_tables_say(steps in proptest::collection::vec(step(), 1..80)) {
        run(&steps);
    }
}

/// The credentials of the clients were good for an hour only, which some cases last longer than.
#[test]
fn an_allocation_after_an_hour_of_nothing() {
    run(&[Step::Wait(3_600), Step::Allocate(0)]);
}
