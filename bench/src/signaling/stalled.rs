//! Clients that stop reading, in a room with many that continue.

use std::time::Duration;

use super::fleet::{Delivered, Fleet, now};
use super::report::Delays;
use super::server::Running;

/// Size of a chat text in bytes: large enough to fill a stalled reader's kernel buffer soon.
const TEXT: usize = 2_000;
/// Kernel buffer of the clients that will stall.
const RECEIVE_BUFFER: usize = 4_096;
const SENDERS: usize = 20;
/// Messages per second. A message delayed by the machine affects the slowest of a hundred, so there are many.
const RATE: u32 = 20;

/// Number of clients.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) sessions: usize,
    pub(super) stalled: usize,
    pub(super) time: Duration,
}

/// Delays of the clients that continue to read.
pub(super) struct Figures {
    pub(super) before: Delays,
    pub(super) during: Delays,
}

impl Figures {
    /// Ratio of the slowest of a hundred with and without stalled clients.
    pub(super) fn change(&self) -> f64 {
        self.during.p99.as_secs_f64() / self.before.p99.as_secs_f64()
    }
}

pub(super) fn measure(server: &Running, plan: Plan) -> anyhow::Result<Figures> {
    let mut fleet = Fleet::new(server)?;
    for number in 0..plan.sessions {
        let client = fleet.add("room".to_owned())?;
        if number >= plan.sessions - plan.stalled {
            for client in fleet.clients.iter_mut().skip(client) {
                client.receive_buffer = Some(RECEIVE_BUFFER);
            }
        }
        fleet.open(client)?;
        fleet.until_joined()?;
    }
    fleet.settle()?;
    let readers = plan.sessions - plan.stalled;
    talk(&mut fleet, readers, plan.time / 4)?;
    let before = talk(&mut fleet, readers, plan.time)?;
    for client in readers..plan.sessions {
        fleet.stall(client)?;
    }
    // Their buffers fill, they stall, and after ten seconds they are disconnected: all of that is measured.
    let during = talk(&mut fleet, readers, plan.time * 2)?;
    Ok(Figures { before, during })
}

fn talk(fleet: &mut Fleet<'_>, readers: usize, time: Duration) -> anyhow::Result<Delays> {
    let mut delivered: Vec<Delivered> = Vec::new();
    let interval = Duration::from_secs(1) / RATE;
    let start = now();
    let mut sent = 0;
    while start.elapsed() < time {
        if start.elapsed() >= interval * sent {
            fleet.chat(sent as usize % SENDERS, TEXT)?;
            sent += 1;
        }
        fleet.pump(Duration::from_millis(1), &mut delivered)?;
    }
    delivered.extend(fleet.settle()?);
    let theirs = delivered.iter().filter(|message| message.client < readers);
    Ok(Delays::of(theirs.map(|message| message.delay)))
}
