//! Figures and tables.

use std::fmt::Write as _;
use std::time::Duration;

use super::Kind;
use super::load::Arrived;
use super::shape::Shape;
use crate::process::Process;

/// Resource use of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    cpu: Duration,
    /// Number of times its threads went to sleep.
    waits: u64,
}

impl Used {
    pub(super) fn by(process: &Process) -> anyhow::Result<Self> {
        Ok(Self { cpu: process.cpu()?, waits: process.waits()? })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu), waits: self.waits.saturating_sub(before.waits) }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Server CPU microseconds per received media packet.
    pub(super) micros: f64,
    /// Percentage of packets that arrived.
    pub(super) delivered: f64,
    /// Large packets per message, on average.
    pub(super) run: f64,
    p50: u64,
    p99: u64,
    /// Use of one processor, in percent.
    pub(super) busy: f64,
    /// Sleeps of the server's threads per second.
    waits: u64,
    /// Memory per connected receiver, before media and with it.
    idle_bytes: u64,
    active_bytes: u64,
}

fn ratio(a: u64, b: u64) -> f64 {
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    float(a) / float(b.max(1))
}

impl Figures {
    pub(super) fn new(arrived: &Arrived, used: Used, time: Duration, idle: u64, active: u64) -> Self {
        let at = |hundredth: usize| {
            arrived.latencies.get(arrived.latencies.len() * hundredth / 100).copied().unwrap_or(0)
        };
        Self {
            micros: used.cpu.as_secs_f64() * 1e6 / ratio(arrived.received, 1).max(1.0),
            delivered: 100.0 * ratio(arrived.received, arrived.expected),
            run: ratio(arrived.large, arrived.runs),
            p50: at(50),
            p99: at(99),
            busy: 100.0 * used.cpu.as_secs_f64() / time.as_secs_f64(),
            waits: used.waits / time.as_secs().max(1),
            idle_bytes: idle,
            active_bytes: active,
        }
    }

    /// The repetition with the median CPU time, and the lowest CPU time.
    pub(super) fn median(samples: &[Self]) -> Option<(Self, f64)> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(|a, b| a.micros.total_cmp(&b.micros));
        Some((*sorted.get(sorted.len() / 2)?, sorted.first()?.micros))
    }
}

/// One server with one shape.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) workers: u16,
    pub(super) shape: Shape,
    pub(super) figures: Figures,
    /// Lowest CPU microseconds of all repetitions.
    pub(super) least: f64,
}

impl Row {
    fn server(&self) -> String {
        match (self.kind, self.workers) {
            (Kind::Visavis, 1) => "visavis".to_owned(),
            (Kind::Visavis, workers) => format!("visavis, {workers} workers"),
            (Kind::Floor, _) => "floor".to_owned(),
            (Kind::Janus, _) => "Janus".to_owned(),
        }
    }

    fn cells(&self, rows: &[Self]) -> String {
        let Figures { micros, delivered, run, p50, p99, busy, waits, idle_bytes, active_bytes } =
            self.figures;
        let of = |kind: Kind| {
            let other = rows.iter().find(|row| row.kind == kind && row.shape == self.shape);
            other.map_or("–".to_owned(), |other| format!("{:.2}", micros / other.figures.micros))
        };
        let kib = |bytes: u64| format!("{:.0}", ratio(bytes, 1024));
        let (is_ours, is_floor) = (self.kind == Kind::Visavis, self.kind == Kind::Floor);
        let dash = |cell: String, there: bool| if there { cell } else { "–".to_owned() };
        format!(
            "| {} | {} | {micros:.2} ({:.2}) | {} | {} | {run:.1} | {busy:.0}% | {waits} | {} | {} | {} | {} |",
            self.shape,
            self.server(),
            self.least,
            dash(of(Kind::Floor), is_ours),
            dash(of(Kind::Janus), is_ours),
            dash(format!("{delivered:.2}%"), !is_floor),
            dash(format!("{:.2} / {:.2}", ratio(p50, 1000), ratio(p99, 1000)), !is_floor),
            dash(kib(idle_bytes), !is_floor),
            dash(kib(active_bytes), !is_floor),
        )
    }
}

/// All results as a table.
pub(super) fn to_markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| room | server | CPU µs per packet (least) | of the floor | of Janus | run | CPU | waits/s | delivered | p50 / p99 ms | \
         idle KiB | active KiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", row.cells(rows));
    }
    text
}
