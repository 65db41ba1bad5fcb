//! The thread of a worker: its socket, its clock, and nothing that knows about media.
#![allow(clippy::disallowed_methods, reason = "drivers read the clock")]

mod socket;
#[allow(unsafe_code, reason = "the system calls that the standard library does not have")]
mod sys;

use std::io::Read;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signaling_core::{MediaEvent, RoomId};

use crate::server::Seat;
pub use socket::MediaSocket;

/// Longest wait without a look at whether to stop.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Runs a worker on its socket until `stop` is set. Events are handed to `on_event` on this thread.
pub fn run(
    mut seat: Seat,
    mut socket: MediaSocket,
    mut on_event: impl FnMut(RoomId, MediaEvent),
    stop: &AtomicBool,
) -> std::io::Result<()> {
    while !stop.load(Ordering::Acquire) {
        let now = Instant::now();
        seat.take_inputs(now);
        if seat.worker.poll_timeout().is_some_and(|at| at <= now) {
            seat.worker.handle_timeout(now);
        }
        flush(&mut seat, &mut socket);
        seat.publish_metrics();
        while let Some((room, event)) = seat.worker.poll_event() {
            on_event(room, event);
        }
        let wait =
            seat.worker.poll_timeout().map_or(MAX_WAIT, |at| at.saturating_duration_since(now).min(MAX_WAIT));
        let ready = sys::wait_readable([socket.as_fd(), seat.wake_pipe.as_fd()], wait)?;
        let [datagrams, inputs] = ready;
        if inputs {
            // One byte at most: see Wake.
            seat.wake_pipe.read_exact(&mut [0])?;
            seat.wake.reset();
        }
        if datagrams {
            receive(&mut seat, &mut socket)?;
        }
    }
    Ok(())
}

fn receive(seat: &mut Seat, socket: &mut MediaSocket) -> std::io::Result<()> {
    let now = Instant::now();
    socket.receive(|path, datagram| seat.handle_datagram(now, path, datagram))?;
    seat.end_batch(now);
    flush(seat, socket);
    Ok(())
}

fn flush(seat: &mut Seat, socket: &mut MediaSocket) {
    let egress = seat.worker.egress_mut();
    if !egress.is_empty() {
        socket.send(egress);
        seat.sent();
    }
}
