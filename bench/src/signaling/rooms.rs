//! Chat in rooms of several sizes: cost and delay of a delivery.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::fleet::{Delivered, Fleet, now};
use super::report::Delays;
use super::server::Running;
use crate::median::median;

/// Size of a chat text in bytes.
const TEXT: usize = 80;
/// Sending members of a room; in a room of two, both.
const SENDERS: usize = 2;
/// Messages in flight per sender.
const WINDOW: usize = 2;
/// In a very large room, more members send, each with one message in flight.
const SENDERS_OF_LARGE: usize = 20;
const LARGE: usize = 100;
/// A sender's rate limit (slightly below the server's): burst, and messages per second.
const BURST: f64 = 190.0;
const PER_SECOND: f64 = 48.0;

/// The results for one room size.
pub(super) struct Figures {
    pub(super) room_size: usize,
    /// At maximum rate: deliveries per CPU second, and per second.
    pub(super) per_cpu_second: f64,
    pub(super) per_second: f64,
    /// At a steady rate: CPU time per delivery, and delivery delays.
    pub(super) paced_cpu: Duration,
    pub(super) delays: Delays,
}

/// Duration, repetitions, and the steady rate.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) sessions: usize,
    pub(super) time: Duration,
    pub(super) repeat: usize,
    /// Deliveries per second.
    pub(super) rate: u32,
}

/// Measures rooms of one size.
pub(super) fn measure(server: &Running, room_size: usize, plan: Plan) -> anyhow::Result<Figures> {
    let mut fleet = Fleet::new(server)?;
    fleet.fill(plan.sessions.max(room_size), room_size)?;
    fleet.settle()?;
    let mut senders = Senders::of(fleet.clients.len(), room_size);
    let (mut saturated, mut paced) = (Vec::new(), Vec::new());
    for _ in 0..plan.repeat {
        senders.rest(&mut fleet)?;
        saturated.push(saturate(&mut fleet, server, &mut senders, plan.time)?);
        fleet.settle()?;
        paced.push(pace(&mut fleet, server, &mut senders, room_size, plan)?);
        fleet.settle()?;
    }
    Ok(Figures {
        room_size,
        per_cpu_second: median(saturated.iter().map(|figures| figures.0)),
        per_second: median(saturated.iter().map(|figures| figures.1)),
        paced_cpu: Duration::from_secs_f64(median(paced.iter().map(|figures| figures.0))),
        delays: Delays::median(paced.into_iter().map(|figures| figures.1).collect()),
    })
}

/// The senders, and the number of messages each may still send within the server's rate limit.
struct Senders {
    window: usize,
    each: Vec<Sender>,
    /// The client of each sender.
    by_client: Vec<Option<usize>>,
}

struct Sender {
    client: usize,
    tokens: f64,
    at: Instant,
}

impl Senders {
    fn of(clients: usize, room_size: usize) -> Self {
        let (count, window) = if room_size > LARGE { (SENDERS_OF_LARGE, 1) } else { (SENDERS, WINDOW) };
        let sends = |client: &usize| client % room_size < count;
        let each: Vec<_> =
            (0..clients).filter(sends).map(|client| Sender { client, tokens: BURST, at: now() }).collect();
        let mut by_client = vec![None; clients];
        for (index, sender) in each.iter().enumerate() {
            if let Some(slot) = by_client.get_mut(sender.client) {
                *slot = Some(index);
            }
        }
        Self { window, each, by_client }
    }

    /// Sends, if the rate limit permits.
    fn send(&mut self, fleet: &mut Fleet<'_>, index: usize) -> anyhow::Result<bool> {
        let Some(sender) = self.each.get_mut(index) else { return Ok(false) };
        let now = now();
        sender.tokens = (sender.tokens + (now - sender.at).as_secs_f64() * PER_SECOND).min(BURST);
        sender.at = now;
        if sender.tokens < 1.0 {
            return Ok(false);
        }
        sender.tokens -= 1.0;
        fleet.chat(sender.client, TEXT)?;
        Ok(true)
    }

    /// Waits until every sender has its full burst available.
    fn rest(&self, fleet: &mut Fleet<'_>) -> anyhow::Result<()> {
        let poorest = self.each.iter().map(|sender| sender.tokens).fold(BURST, f64::min);
        let start = now();
        let time = Duration::from_secs_f64((BURST - poorest) / PER_SECOND);
        while start.elapsed() < time {
            fleet.pump(Duration::from_millis(50), &mut Vec::new())?;
        }
        Ok(())
    }
}

/// At maximum rate: a sender that receives its own message sends the next one. Ends when a sender has used up its
/// burst: from then on the rate limits and not the server would determine the load.
fn saturate(
    fleet: &mut Fleet<'_>,
    server: &Running,
    senders: &mut Senders,
    time: Duration,
) -> anyhow::Result<(f64, f64)> {
    let mut spent = false;
    for index in 0..senders.each.len() {
        for _ in 0..senders.window {
            spent |= !senders.send(fleet, index)?;
        }
    }
    let mut delivered: Vec<Delivered> = Vec::new();
    let mut count = 0;
    let (mut cpu, mut start) = (server.cpu()?, now());
    let warm_up = time / 5;
    let mut warm = false;
    while !spent && (!warm || start.elapsed() < time) {
        if !warm && start.elapsed() >= warm_up {
            (warm, count, cpu, start) = (true, 0_u32, server.cpu()?, now());
        }
        fleet.pump(Duration::from_millis(1), &mut delivered)?;
        for message in delivered.drain(..) {
            count += 1;
            if message.client == message.stamp.sender
                && let Some(index) = senders.by_client.get(message.client).copied().flatten()
            {
                spent |= !senders.send(fleet, index)?;
            }
        }
    }
    ensure!(warm, "the allowances were used up before the server was warm");
    let cost = server.cpu()?.saturating_sub(cpu).as_secs_f64();
    Ok((f64::from(count) / cost, f64::from(count) / start.elapsed().as_secs_f64()))
}

/// At a steady rate. Returns CPU seconds per delivery, and the delays.
fn pace(
    fleet: &mut Fleet<'_>,
    server: &Running,
    senders: &mut Senders,
    room_size: usize,
    plan: Plan,
) -> anyhow::Result<(f64, Delays)> {
    let mut delivered: Vec<Delivered> = Vec::new();
    let members = u32::try_from(room_size)?;
    let interval = Duration::from_secs(1) * members / plan.rate;
    // Long enough for some hundred messages, whatever the size of the room.
    let time = (plan.time * 2).max(interval * 40);
    let (cpu, start) = (server.cpu()?, now());
    let mut sent = 0;
    let mut next = 0;
    while start.elapsed() < time {
        if start.elapsed() >= interval * sent {
            senders.send(fleet, next % senders.each.len())?;
            // Spread out, so that rooms take turns.
            next += 7;
            sent += 1;
        }
        fleet.pump(Duration::ZERO, &mut delivered)?;
    }
    delivered.extend(fleet.settle()?);
    let cost = server.cpu()?.saturating_sub(cpu).as_secs_f64();
    let count = f64::from(u32::try_from(delivered.len().max(1))?);
    Ok((cost / count, Delays::of(delivered.iter().map(|message| message.delay))))
}
