//! A server that runs for long keeps nothing: people come and go in every way they have, and when all are gone it has as many
//! descriptors, threads, rooms, connections and relays as before, and no more memory for the last rounds than for earlier ones.
//!
//! By itself this takes seconds and looks at what is gone at once. `VISAVIS_SOAK_MINUTES` lets it run for longer (`tests/long/soak`),
//! with memory, and with those who are gone without a word: what they leave has to time out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "what fails in a test fails the test; a long run says how it goes"
)]

mod gauges;
mod media;
mod memory;
mod relays;
mod rooms;
mod strangers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sfu::dtls::Identity;
use tests::Visavis;
use tests::connection::{ALL, Connection};

use gauges::Gauges;
use media::Broadcast;
use memory::Memory;
use relays::Relay;
use strangers::{Browser, HalfOpen};

/// Long after everything that a client waits for: only a failure takes so long.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);
/// How many go their rounds at a time.
const AT_ONCE: usize = 4;
/// How often each of them begins one: nine sessions each, of the fifty a second that an address may begin.
const PACE: Duration = Duration::from_millis(900);
/// Rounds of each that are enough to have done everything.
const SOME_ROUNDS: usize = 3;
/// The longest that anything lives which was left behind, a relay over UDP, and a little more.
const ALL_TIMED_OUT: Duration = Duration::from_mins(11);
/// Relays left behind, once: they would be more and more until the first of them times out.
const RELAYS_LEFT: usize = 8;
/// Runs of so many minutes take the time to see these go, and are long enough for a word about memory.
const PATIENT: u64 = 5;

/// Where everything is, and how far it has come.
struct Soak {
    server: Visavis,
    turn: SocketAddr,
    media: SocketAddr,
    metrics: SocketAddr,
    browser: Browser,
    identity: Identity,
    rounds: AtomicUsize,
    is_over: AtomicBool,
}

#[test]
fn a_server_that_runs_for_long_keeps_nothing() {
    let minutes: u64 = std::env::var("VISAVIS_SOAK_MINUTES").map_or(0, |text| text.parse().unwrap());
    let soak = Soak::start();
    let before = soak.gauges();
    thread::scope(|scope| {
        for who in 0..AT_ONCE {
            let soak = &soak;
            scope.spawn(move || {
                let mut half_open = HalfOpen::default();
                (0..SOME_ROUNDS).for_each(|_| soak.round(who, &mut half_open));
            });
        }
    });
    soak.settle(&before, FAR_TOO_LONG);
    if minutes > 0 {
        soak.run(minutes, &before);
    }
}

impl Soak {
    fn start() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let metrics = ["--metrics-listen", "127.0.0.1:0"];
        let limits = ["--turn-allow-peer", "127.0.0.0/8", "--new-connections-per-second", "10000"];
        // In glibc's arenas, one for each thread, memory that was given back lies in pieces, which looks like growth for long.
        let one_arena = [("MALLOC_ARENA_MAX", "1")];
        let server = Visavis::start_with(folder, &[metrics.as_slice(), &limits].concat(), &one_arena);
        let browser = Browser::new(&server);
        Self {
            turn: server.logged_addr("STUN and TURN ready"),
            media: server.logged_addr("media server ready"),
            metrics: server.logged_addr("metrics ready"),
            browser,
            identity: Identity::generate().unwrap(),
            rounds: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            server,
        }
    }

    fn gauges(&self) -> Gauges {
        Gauges::read(&self.server, self.metrics)
    }

    /// Everything once.
    fn round(&self, who: usize, half_open: &mut HalfOpen) {
        let (addr, round) = (self.server.addr, self.rounds.fetch_add(1, Ordering::Relaxed));
        rooms::talk(addr, &format!("talk-{round}"), round);
        Broadcast::begin(addr, &format!("stage-{round}"), &self.identity).end(addr, round);
        relays::relay(addr, self.turn, &format!("relay-{round}"));
        if who == 0 {
            self.browser.loads_pages();
            half_open.few(addr, self.turn, self.media);
        }
    }

    fn run(&self, minutes: u64, before: &Gauges) {
        let (begin, time) = (now(), Duration::from_secs(60 * minutes));
        let mut memory = Memory::default();
        let half_open = thread::scope(|scope| {
            let crowd: Vec<_> = (0..AT_ONCE).map(|who| scope.spawn(move || self.go_rounds(who))).collect();
            let lost = scope.spawn(move || self.get_lost(minutes >= PATIENT));
            while begin.elapsed() < time
                && !lost.is_finished()
                && !crowd.iter().any(thread::ScopedJoinHandle::is_finished)
            {
                memory.note(self.rounds.load(Ordering::Relaxed), self.gauges());
                thread::sleep(Duration::from_secs(1));
            }
            self.is_over.store(true, Ordering::Relaxed);
            crowd.into_iter().map(|who| who.join().unwrap()).collect::<Vec<_>>()
        });
        memory.print();
        self.settle(before, ALL_TIMED_OUT);
        println!("after {:.0?} all is as before: {:?}", begin.elapsed(), self.gauges());
        // What is still half open on this side was let go by the server.
        drop(half_open);
        if minutes >= PATIENT {
            memory.judge();
        }
    }

    fn go_rounds(&self, who: usize) -> HalfOpen {
        let mut half_open = HalfOpen::default();
        while !self.is_over.load(Ordering::Relaxed) {
            let begin = now();
            self.round(who, &mut half_open);
            thread::sleep(PACE.saturating_sub(begin.elapsed()));
        }
        half_open
    }

    /// Again and again: everybody but the host is gone without a word, and in time the room knows.
    fn get_lost(&self, leaves_relays: bool) {
        let addr = self.server.addr;
        // Whoever comes later is not to get the port, and with it the relay, of somebody who is gone.
        let _ports = leaves_relays.then(|| {
            let (mut host, ice_server) = relays::ice_server(addr, "lost-relays");
            host.send(&serde_json::json!({"type": "host", "action": "end"}));
            host.until("room-ended");
            [(); RELAYS_LEFT].map(|()| Relay::over_udp(self.turn, &ice_server))
        });
        for cycle in 0.. {
            let mut rooms: Vec<_> = ALL
                .into_iter()
                .map(|transport| {
                    let room = format!("lost-{cycle}-{transport:?}");
                    let host = Broadcast::begin(addr, &room, &self.identity).abandon();
                    drop(Connection::join(transport, addr, &room, "Eve"));
                    // Two viewers, a publisher, and Eve.
                    (host, 4)
                })
                .collect();
            while rooms.iter().any(|(_, here)| *here > 0) {
                // Hosts who say nothing would be lost, too.
                for (host, here) in &mut rooms {
                    *here -= host.settle().iter().filter(|event| event["type"] == "peer-left").count();
                }
                thread::sleep(Duration::from_millis(200));
            }
            for (mut host, _) in rooms {
                host.send(&serde_json::json!({"type": "host", "action": "end"}));
                host.until("room-ended");
            }
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    }

    /// Waits until nothing is more than it was.
    fn settle(&self, before: &Gauges, patience: Duration) {
        let begin = now();
        loop {
            let more = self.gauges().beyond(before);
            if more.is_empty() {
                return;
            }
            let rounds = self.rounds.load(Ordering::Relaxed);
            assert!(
                begin.elapsed() < patience,
                "{patience:?} after {rounds} rounds there are still {more:#?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is a driver")]
fn now() -> Instant {
    Instant::now()
}
