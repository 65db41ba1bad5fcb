//! A long-running server leaks nothing: clients come and go in every possible way, and when all are gone, the server
//! has as many descriptors, threads, rooms, connections and relays as before, and the last rounds use no more memory
//! than earlier ones.
//!
//! By default this takes seconds and checks only resources released at once. `VISAVIS_SOAK_MINUTES` runs it for longer
//! (`tests/long/soak`), including memory and clients that disappear without notice, whose resources must time out.
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

/// Much longer than any expected wait: reached only on failure.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);
/// Number of concurrent workers.
const AT_ONCE: usize = 4;
/// Interval between a worker's rounds: nine sessions each, of the fifty a second that an address may start.
const PACE: Duration = Duration::from_millis(900);
/// Rounds of each worker that are enough to have done everything.
const SOME_ROUNDS: usize = 3;
/// The longest lifetime of an abandoned resource, a relay over UDP, plus a margin.
const ALL_TIMED_OUT: Duration = Duration::from_mins(11);
/// Relays abandoned, once: their number would grow until the first of them times out.
const RELAYS_LEFT: usize = 8;
/// Runs of at least this many minutes wait for these to time out, and are long enough to judge memory.
const PATIENT: u64 = 5;

/// The addresses of the server, and the progress of the run.
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
        // Freed memory is fragmented in glibc's arenas, one per thread, which looks like growth for a long time.
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
        // Connections still half open on this side have been released by the server.
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

    /// Repeatedly: all but the host disappear without notice, and in time the room is told.
    fn get_lost(&self, leaves_relays: bool) {
        let addr = self.server.addr;
        // Later clients must not get the port, and with it the relay, of a client that has gone.
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
                // Hosts that send nothing would be lost, too.
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

    /// Waits until no value is higher than before.
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
