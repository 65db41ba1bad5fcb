//! New sessions are refused at once while a worker is behind.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "test code")]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sfu::driver::MediaSocket;
use sfu::dtls::Identity;
use sfu::testing::{Client, ClientKind};
use sfu::{Config, Tap, TapEvent};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{Code, HttpMedia as _, HttpSession, MediaDemand, MediaPlane as _, PeerId, RoomId};

/// A recorder that blocks the thread of the worker, as it must not, until it is told to go on.
struct Blocker(Mutex<Receiver<()>>);

impl Tap for Blocker {
    fn take(&self, _: TapEvent<'_>) {
        let _ = self.0.lock().unwrap().recv();
    }
}

#[test]
fn new_sessions_are_refused_at_once_while_the_worker_is_behind() {
    let socket = MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = Config::new(vec![socket.local_addr().unwrap()], [3; 32]);
    let (handle, mut workers) = sfu::driver::open(config, Instant::now()).unwrap();
    let worker = workers.remove(0);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || worker.run(socket, |_, _| {}, &stopped));
    let room: RoomId = "busy".parse().unwrap();
    let identity = Identity::generate().unwrap();
    let client = Client::new(ClientKind::Player, ([127, 0, 0, 1], 9).into(), identity, 1, Instant::now());
    let session = HttpSession::Play { publisher: None };
    let check = || {
        let asked = Instant::now();
        let result = handle.check(&room, session, &client.offer());
        assert!(asked.elapsed() < Duration::from_millis(100));
        result.map_err(|refusal| refusal.code)
    };
    assert_eq!(check(), Ok(()));

    let (release, blocked) = sync_channel(1);
    let peer = PeerId::random(&mut SeededEntropy::new(1));
    let tap: Arc<dyn Tap> = Arc::new(Blocker(Mutex::new(blocked)));
    handle.record(room.clone(), Some(tap)).unwrap();
    let plane = handle.clone();
    plane.demand(&room, MediaDemand::Join { peer, role: Role::Viewer });
    plane.demand(&room, MediaDemand::Leave { peer });
    while check() != Err(Code::Overloaded) {
        std::thread::yield_now();
    }
    release.send(()).unwrap();
    drop(release);
    while check() != Ok(()) {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::Release);
    handle.record(room.clone(), None).unwrap();
    thread.join().unwrap().unwrap();
}
