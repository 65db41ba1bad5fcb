//! Sessions that all lose their connections at once, in mid-conversation, and all resume at once.

use std::time::Duration;

use anyhow::ensure;

use super::fleet::{Delivered, Fleet, now};
use super::server::Running;

/// Members of a room that are disconnected; one more stays and continues to send.
const ROOM: usize = 10;
/// Messages that a room misses.
const MISSED: usize = 20;

/// The result.
pub(super) struct Figures {
    pub(super) sessions: usize,
    /// Time until the last one had received everything.
    pub(super) time: Duration,
    pub(super) cpu: Duration,
    /// Numbers of messages lost and of messages received twice.
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
    // The connections end while messages are in flight, some read and some not.
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
    // Further messages are duplicates.
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
