//! The thread of a worker: its socket, its clock, and nothing that knows about media.

pub(crate) mod links;
pub(crate) mod relay;
mod socket;
pub(crate) mod worker;

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datagrams::{Pace, Pacing, wait_readable};
use signaling_core::{MediaEvent, RoomId};

use crate::driver::worker::Seat;
pub use socket::MediaSocket;

/// Longest wait without a look at whether to stop.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// The work of a turn is the turn itself.
const PACING: Pacing = Pacing {
    busy_rate: 400.0,
    fade: Duration::from_millis(20),
    full_turn: u64::MAX,
    wait: Duration::from_micros(500),
};

/// Runs a worker on its socket until `stop` is set. Events are handed to `on_event` on this thread.
pub fn run(
    mut seat: Seat,
    mut socket: MediaSocket,
    mut on_event: impl FnMut(RoomId, MediaEvent),
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut pace = Pace::new(PACING, clock::now());
    // After a short wait the socket is looked at without asking whether there is something.
    let mut has_waited = false;
    while !stop.load(Ordering::Acquire) {
        if let Some(engine) = &seat.engine {
            engine.sign();
        }
        let now = clock::now();
        seat.take_inputs(now);
        seat.handle_timeout(now);
        send(&mut seat, &mut socket, now);
        seat.publish_metrics();
        while let Some((room, event)) = seat.worker.poll_event() {
            on_event(room, event);
        }
        let idle = until_timeout(&seat, now);
        if !has_waited && !wait(&seat, &socket, idle)? {
            continue;
        }
        let now = clock::now();
        let datagrams = socket.receive(|path, datagram| seat.handle_datagram(now, path, datagram))?;
        has_waited = false;
        if datagrams > 0 {
            send(&mut seat, &mut socket, now);
            let pause = pace.after_turn(now, 1).min(until_timeout(&seat, now));
            if !pause.is_zero() {
                std::thread::sleep(pause);
                has_waited = true;
            }
        }
    }
    if let Some(engine) = &seat.engine {
        engine.finish();
    }
    Ok(())
}

fn until_timeout(seat: &Seat, now: Instant) -> Duration {
    seat.poll_timeout().map_or(MAX_WAIT, |at| at.saturating_duration_since(now).min(MAX_WAIT))
}

/// Waits for datagrams or inputs, and says whether there are datagrams.
fn wait(seat: &Seat, socket: &MediaSocket, at_most: Duration) -> std::io::Result<bool> {
    let [datagrams, inputs] = wait_readable([socket.as_fd(), seat.wake.as_fd()], at_most)?;
    if inputs {
        seat.wake.reset();
    }
    Ok(datagrams)
}

/// Sends on what came, a slab at a time.
fn send(seat: &mut Seat, socket: &mut MediaSocket, now: Instant) {
    loop {
        let is_done = seat.end_batch(now);
        let egress = seat.worker.egress_mut();
        if !egress.is_empty() {
            socket.send(egress);
            seat.sent();
        }
        if is_done {
            return;
        }
    }
}
