//! The load generator's own use of its machine.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::now;

/// The processor time of this thread, and how long it was ready and had no processor, at one moment.
pub(super) struct Own {
    at: Instant,
    ran: Duration,
    waited: Duration,
    dropped: u64,
}

/// The same for a step.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnUse {
    /// How late the load generator sends and receives, at the 99th percentile, in milliseconds.
    pub(super) late_ms: f64,
    /// Its use of one processor in percent; a load of media asks its sockets without a pause and always uses all.
    pub(super) cpu_percent: f64,
    /// The percentage of the time for which it was ready to run, and other processes had the processors.
    pub(super) waited_percent: f64,
    /// Datagrams that this machine's kernel has dropped since the buffer of a socket was full.
    pub(super) kernel_dropped: u64,
}

impl Own {
    pub(super) fn read() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut nanos = text.split_whitespace().map(|word| Duration::from_nanos(word.parse().unwrap_or(0)));
        let (ran, waited) = (nanos.next().unwrap_or_default(), nanos.next().unwrap_or_default());
        Self { at: now(), ran, waited, dropped: receive_buffer_errors().unwrap_or(0) }
    }

    pub(super) fn since(&self, before: &Self, late: Duration) -> OwnUse {
        let time = self.at.saturating_duration_since(before.at).max(Duration::from_millis(1)).as_secs_f64();
        let percent = |after: Duration, before: Duration| {
            (100.0 * after.saturating_sub(before).as_secs_f64() / time).min(100.0)
        };
        OwnUse {
            late_ms: late.as_secs_f64() * 1e3,
            cpu_percent: percent(self.ran, before.ran),
            waited_percent: percent(self.waited, before.waited),
            kernel_dropped: self.dropped.saturating_sub(before.dropped),
        }
    }
}

/// `RcvbufErrors` of UDP.
fn receive_buffer_errors() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/net/snmp").ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let column = lines.next()?.split(' ').position(|name| name == "RcvbufErrors")?;
    lines.next()?.split(' ').nth(column)?.parse().ok()
}
