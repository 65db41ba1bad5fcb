//! Readers that stop reading, in a room with many who go on.

use std::time::Duration;

use super::fleet::{Delivered, Fleet, now};
use super::report::Delays;
use super::server::Running;

/// Bytes of a chat text: enough that what the kernel takes for a stalled reader is soon full.
const TEXT: usize = 2_000;
/// What the kernel takes for those who will stall.
const RECEIVE_BUFFER: usize = 4_096;
const SENDERS: usize = 20;
/// Messages a second. One that the machine delays takes the slowest of a hundred with it, so there are many.
const RATE: u32 = 20;

/// How many there are.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) sessions: usize,
    pub(super) stalled: usize,
    pub(super) time: Duration,
}

/// Delays of those who read on.
pub(super) struct Figures {
    pub(super) before: Delays,
    pub(super) during: Delays,
}

impl Figures {
    /// How many times as long the slowest of a hundred takes while others are stalled.
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
    // Their buffers fill, they stall, and after ten seconds they are cut off: all of that counts.
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
