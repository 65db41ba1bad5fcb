//! A load that grows.

use std::time::Duration;

/// What has arrived in a step.
#[derive(Default)]
pub(super) struct Figures {
    /// Packets or messages that should have arrived, and that have.
    pub(super) expected: u64,
    pub(super) received: u64,
    /// Delays from sending to arrival, in any order.
    pub(super) delays: Vec<Duration>,
    /// Bytes to and from the clients, with the headers of IPv4 and UDP; none of signaling.
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// How late the load generator was, at the 99th percentile.
    pub(super) late: Duration,
}

/// A shape of load whose size can be raised.
pub(super) trait Shape {
    /// The number of people at a size.
    fn people(&self, size: usize) -> usize;

    /// A size in words.
    fn describe(&self, size: usize) -> String;

    /// The number of sessions that have joined so far.
    fn joined(&self) -> usize;

    /// Joins and connects as many as a size needs, in addition to those who are there.
    fn grow(&mut self, size: usize) -> anyhow::Result<()>;

    /// Sends for this long. Calls `at_begin` when the measurement begins.
    fn run(
        &mut self,
        time: Duration,
        at_begin: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Figures>;

    /// Everybody leaves.
    fn end(&mut self);
}
