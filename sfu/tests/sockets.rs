//! Two workers over real sockets on one loopback port: the kernel distributes the clients
//! arbitrarily, and all are served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]
#![allow(clippy::disallowed_methods, reason = "sockets live in real time")]
#![allow(unreachable_pub, reason = "a module that several tests use")]

#[path = "common/answer.rs"]
mod answer;
#[path = "common/endpoint.rs"]
mod endpoint;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use answer::answer;
use endpoint::Endpoint;
use sfu::driver::{self, MediaSocket};
use sfu::dtls::Identity;
use sfu::testing::ClientKind;
use sfu::{Config, Handle};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{HttpOffer, HttpSession, MediaDemand, MediaEvent, MediaPlane as _, PeerId, RoomId};

const PLAYERS: u64 = 24;
/// The time from one picture to the next. A publisher that sends as fast as it can outruns the server's socket, and after
/// 2^15 lost packets nothing of its stream can be decrypted any more (RFC 3711 section 3.3.1).
const PICTURE: Duration = Duration::from_micros(33_333);

fn join(sfu: &mut Handle, kind: ClientKind, identity: &Identity, number: u64) -> Endpoint {
    let mut endpoint = Endpoint::new(kind, identity, number);
    let (role, session) = match kind {
        ClientKind::Publisher => (Role::Broadcaster, HttpSession::Publish),
        ClientKind::Player => (Role::Viewer, HttpSession::Play { publisher: None }),
    };
    let room: RoomId = "sockets".parse().unwrap();
    let peer = PeerId::random(&mut SeededEntropy::new(number));
    sfu.demand(&room, MediaDemand::Join { peer, role });
    let offer = HttpOffer { room, peer, session, sdp: endpoint.client.offer(), via: None };
    endpoint.client.accept_answer(Instant::now(), &answer(sfu, &offer).sdp).unwrap();
    endpoint
}

fn flowing(events: &Receiver<MediaEvent>) -> bool {
    events.try_iter().any(|event| matches!(event, MediaEvent::Flowing { flowing: true, .. }))
}

#[test]
fn two_workers_on_one_port_serve_a_broadcast() {
    let mut sockets = vec![MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()];
    let address = sockets[0].local_addr().unwrap();
    sockets.push(MediaSocket::bind(address).unwrap());
    let config = Config { shards: 2, ..Config::new(vec![address], [3; 32]) };
    let (mut sfu, workers) = driver::open(config, Instant::now()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, events) = sync_channel(10_000);
    let threads: Vec<_> = workers
        .into_iter()
        .zip(sockets)
        .map(|(worker, socket)| {
            let (stop, sender) = (Arc::clone(&stop), sender.clone());
            std::thread::spawn(move || worker.run(socket, |_, event| sender.send(event).unwrap(), &stop))
        })
        .collect();

    let identity = Identity::generate().unwrap();
    let mut publisher = join(&mut sfu, ClientKind::Publisher, &identity, 0);
    let mut players: Vec<_> =
        (1..=PLAYERS).map(|number| join(&mut sfu, ClientKind::Player, &identity, number)).collect();
    let mut has_flowed = false;
    // If the server did not serve all of them, the loop would not end.
    let mut next_picture = Instant::now();
    while !(has_flowed && players.iter().all(|player| player.played() >= 30)) {
        publisher.turn();
        players.iter_mut().for_each(Endpoint::turn);
        let now = Instant::now();
        let is_ready =
            publisher.client.is_connected() && players.iter().all(|player| player.client.is_connected());
        if is_ready && now >= next_picture {
            next_picture = now + PICTURE;
            publisher.client.send_picture(now, 3);
        }
        has_flowed |= flowing(&events);
        assert!(threads.iter().all(|thread| !thread.is_finished()), "a worker has ended");
        std::thread::yield_now();
    }
    stop.store(true, Ordering::Release);
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}
