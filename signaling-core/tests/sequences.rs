//! Random sequences of joins, messages, losses, changes of transport, expiries and restarts, in virtual time.
//!
//! A failure names its seed. `VISAVIS_SEED=n cargo test -p signaling-core --test sequences` runs that seed alone, and
//! `VISAVIS_SEQUENCES=n` runs that many.

mod world;

use std::time::Duration;

use world::{TransportKind, World};

/// Seeds that once failed.
const REGRESSIONS: &[u64] = &[2969];

fn run(seed: u64) {
    let mut world = World::new(seed, 7, 2);
    for _ in 0..50 {
        let index = world.random.below(world.clients.len());
        match world.random.below(100) {
            // A witness only sends messages.
            50..93 if world.is_witness(index) => {}
            97.. if world.is_witness(index) => world.restart(),
            0..15 if !world.is_in(index) => world.join(index),
            0..40 => world.chat(index),
            40..55 => world.signal(index),
            55..63 => {
                let noticed = world.random.below(2) == 0;
                world.lose(index, noticed);
            }
            63..78 => {
                let stream = world.random.below(2) == 0;
                let kind = if stream { TransportKind::EventStream } else { TransportKind::Duplex };
                world.resume(index, kind);
            }
            78..82 => world.set_capacity(index, 0),
            82..88 => {
                world.set_capacity(index, 32);
                world.read_all();
            }
            88..94 => {
                let span = Duration::from_millis(world.random.next_u64() % 40_000);
                world.pass(span);
            }
            94..97 if !world.is_witness(index) => world.leave(index),
            _ => world.pass(Duration::from_millis(1)),
        }
    }
    world.settle();
    world.nothing_is_missing();
}

#[test]
fn every_event_exactly_once_whatever_happens_to_transports() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("VISAVIS_SEED") {
        Some(seed) => vec![seed],
        None => REGRESSIONS.iter().copied().chain(0..number("VISAVIS_SEQUENCES").unwrap_or(10_000)).collect(),
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "the sequence of VISAVIS_SEED={seed} failed");
    }
}
