//! Runs a shard with its mailboxes, its socket and its thread.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use datagrams::{Batch, Events, Mailbox, Pace, Pacing, Wake, wait_readable};
use signaling_core::{Engine, MediaEvent, RoomId};

use super::load::{Load, LoadMeter};
use super::neighbours::Neighbours;
use super::socket::MediaSocket;
use super::streams::Streams;
use crate::metrics::{Metrics, Published};
use crate::path::Path;
use crate::shard::{Input, Shard};

/// The longest wait between two checks of the stop flag.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// Clients' TCP connections served in one turn.
const MAX_EVENTS: usize = 256;
/// Each turn counts as one unit of work.
const PACING: Pacing = Pacing {
    busy_rate: 400.0,
    fade: Duration::from_millis(20),
    full_turn: u64::MAX,
    wait: Duration::from_micros(500),
};

/// A shard with its inputs from other threads.
pub struct Worker {
    /// The state machine.
    pub shard: Shard,
    inbox: Inbox,
    streams: Streams,
    /// A buffer for datagrams from relays.
    batch: Batch<Path>,
    published: Published,
    load: Load,
    engine: Option<Engine>,
}

/// The inputs of a shard from other threads.
pub(super) struct Inbox {
    pub(super) inputs: Receiver<Input>,
    /// Datagrams from clients behind a relay of this process.
    pub(super) relayed: Arc<Mailbox<Path>>,
    pub(super) neighbours: Neighbours,
    pub(super) wake: Arc<Wake>,
}

impl Worker {
    pub(super) fn new(
        shard: Shard,
        inbox: Inbox,
        streams: Streams,
        published: Published,
        load: Load,
    ) -> Self {
        Self { shard, inbox, streams, batch: Batch::default(), published, load, engine: None }
    }

    /// Reports to a watchdog that this worker is alive, and when it ends.
    #[must_use]
    pub fn watched(self, engine: Engine) -> Self {
        Self { engine: Some(engine), ..self }
    }

    /// Passes all waiting inputs, messages from other shards and relayed datagrams to the shard;
    /// returns whether there were any.
    pub fn take_inputs(&mut self, now: Instant) -> bool {
        let Self { shard, inbox, streams, batch, .. } = self;
        inbox.relayed.take(batch);
        let mut has_taken = !batch.is_empty();
        batch.drain(|path, datagram| shard.handle_datagram(now, path, datagram));
        has_taken |= inbox.neighbours.receive(shard, now);
        has_taken |= streams.accept(now, shard);
        while let Ok(input) = inbox.inputs.try_recv() {
            has_taken = true;
            shard.handle_input(now, input);
        }
        has_taken
    }

    /// Sends the shard's messages to other shards.
    pub fn send_messages(&mut self, now: Instant) {
        self.inbox.neighbours.send(&mut self.shard, now);
    }

    /// Runs the shard on its socket until `stop` is set. Events are passed to `on_event` on this thread.
    pub fn run(
        mut self,
        mut socket: MediaSocket,
        mut on_event: impl FnMut(RoomId, MediaEvent),
        stop: &AtomicBool,
    ) -> std::io::Result<()> {
        let mut pace = Pace::new(PACING, clock::now());
        let mut meter = LoadMeter::new(self.load.clone(), clock::now());
        let mut events = Events::with_capacity(MAX_EVENTS);
        // After a short pause, the socket is read without polling it first.
        let mut has_waited = false;
        while !stop.load(Ordering::Acquire) {
            if let Some(engine) = &self.engine {
                engine.sign();
            }
            let now = clock::now();
            meter.turn(now);
            self.shard.set_behind(self.load.is_behind(now));
            self.take_inputs(now);
            self.streams.receive(now, &mut events, &mut self.shard)?;
            self.shard.handle_timeout(now);
            self.drain(&mut socket, now);
            self.published.set(self.metrics());
            while let Some((room, event)) = self.shard.poll_event() {
                on_event(room, event);
            }
            let mut has_datagrams = true;
            if !has_waited {
                let done = clock::now();
                meter.rest();
                has_datagrams = self.wait(&socket, now)?;
                meter.rested(clock::now().saturating_duration_since(done));
            }
            if !has_datagrams {
                continue;
            }
            let now = clock::now();
            meter.turn(now);
            let datagrams =
                socket.receive(|path, datagram| self.shard.handle_datagram(now, path, datagram))?;
            has_waited = false;
            if datagrams > 0 {
                self.drain(&mut socket, now);
                let pause = pace.after_turn(now, 1).min(self.until_timeout(now));
                if !pause.is_zero() {
                    meter.rest();
                    std::thread::sleep(pause);
                    meter.rested(pause);
                    has_waited = true;
                }
            }
        }
        if let Some(engine) = &self.engine {
            engine.finish();
        }
        Ok(())
    }

    /// Sends the shard's output, messages to other shards first, because those shards still have to process them.
    fn drain(&mut self, socket: &mut MediaSocket, now: Instant) {
        self.send_messages(now);
        loop {
            let Some(transmits) = self.shard.poll_transmit(now) else { break };
            socket.send(&transmits);
            self.streams.collect(&transmits);
            drop(transmits);
            self.streams.flush(now, &self.shard);
        }
        self.streams.flush(now, &self.shard);
        self.send_messages(now);
    }

    fn metrics(&self) -> Metrics {
        let streams = self.streams.len() as u64;
        Metrics { streams, datagrams_expired: self.streams.expired(), ..self.shard.metrics() }
    }

    fn until_timeout(&self, now: Instant) -> Duration {
        self.shard.poll_timeout().map_or(MAX_WAIT, |at| at.saturating_duration_since(now).min(MAX_WAIT))
    }

    /// Waits for datagrams or inputs; returns whether there are datagrams.
    fn wait(&self, socket: &MediaSocket, now: Instant) -> std::io::Result<bool> {
        let wake = &self.inbox.wake;
        let sources = [socket.as_fd(), wake.as_fd(), self.streams.as_fd()];
        let [datagrams, inputs, _] = wait_readable(sources, self.until_timeout(now))?;
        if inputs {
            wake.reset();
        }
        Ok(datagrams)
    }
}
