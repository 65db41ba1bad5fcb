//! Sessions that lose their connections all at once, in mid-conversation, and come back all at once.

use std::time::Duration;

use anyhow::ensure;

use super::fleet::{Delivered, Fleet, now};
use super::server::Running;

/// Members of a room who are dropped; one more stays, and talks on.
const ROOM: usize = 10;
/// Messages that a room misses.
const MISSED: usize = 20;

/// What became of it.
pub(super) struct Figures {
    pub(super) sessions: usize,
    /// Until the last one had everything.
    pub(super) time: Duration,
    pub(super) cpu: Duration,
    /// Messages that somebody did not get, and that somebody got again.
    pub(super) lost: usize,
    pub(super) doubled: usize,
}

pub(super) fn measure(server: &Running, sessions: usize) -> anyhow::Result<Figures> {
    let rooms = sessions / ROOM;
    let mut fleet = Fleet::new(server)?;
    fleet.fill(rooms * (ROOM + 1), ROOM + 1)?;
    fleet.settle()?;
    let stays = |client: usize| client.is_multiple_of(ROOM + 1);
    let everybody = 0..fleet.clients.len();
    let mut heard: Vec<Vec<u64>> = vec![Vec::new(); fleet.clients.len()];
    let mut note = |delivered: Vec<Delivered>| {
        for message in delivered {
            if let Some(heard) = heard.get_mut(message.client) {
                heard.push(message.stamp.number);
            }
        }
    };
    // The connections go while messages are on their way, some read and some not.
    let mut delivered = Vec::new();
    for number in 0..MISSED {
        for talker in everybody.clone().filter(|client| stays(*client)) {
            fleet.chat(talker, 80)?;
        }
        if number == MISSED / 4 {
            fleet.pump(Duration::from_millis(5), &mut delivered)?;
            for client in everybody.clone().filter(|client| !stays(*client)) {
                fleet
                    .clients
                    .iter_mut()
                    .skip(client)
                    .take(1)
                    .for_each(super::client::Client::drop_connection);
            }
        }
        fleet.pump(Duration::from_millis(1), &mut delivered)?;
    }
    delivered.extend(fleet.settle()?);
    let (cpu, start) = (server.cpu()?, now());
    for client in everybody.clone().filter(|client| !stays(*client)) {
        fleet.open(client)?;
        fleet.pump(Duration::ZERO, &mut delivered)?;
    }
    let expected = everybody.len() * MISSED;
    let mut time = start.elapsed();
    while start.elapsed() < Duration::from_secs(20) && delivered.len() < expected {
        fleet.pump(Duration::from_millis(20), &mut delivered)?;
        time = start.elapsed();
    }
    let cpu = server.cpu()?.saturating_sub(cpu);
    // What comes now is too much.
    delivered.extend(fleet.settle()?);
    note(delivered);
    ensure!(fleet.ended == 0, "the server ended {} connections", fleet.ended);
    let (mut lost, mut doubled) = (0, 0);
    for numbers in &heard {
        ensure!(numbers.is_sorted(), "out of order: {numbers:?}");
        let mut different = numbers.clone();
        different.dedup();
        lost += MISSED - different.len();
        doubled += numbers.len() - different.len();
    }
    Ok(Figures { sessions: rooms * ROOM, time, cpu, lost, doubled })
}
