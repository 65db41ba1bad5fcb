//! Figures and tables.

use std::fmt::Write as _;
use std::time::Duration;

use super::load::Direction;
use super::server::Kind;
use crate::median::median;

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Server CPU microseconds per received packet.
    micros: f64,
    /// Percentage of packets lost.
    loss: f64,
}

impl Figures {
    pub(super) fn new(cost: Duration, sent: usize, received: usize) -> Self {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let micros = cost.as_secs_f64() * 1e6 / count(received.max(1));
        let loss = 100.0 * (1.0 - count(received) / count(sent.max(1)));
        Self { micros, loss: loss.max(0.0) }
    }

    /// The measurement with the median CPU time, and the highest loss of all.
    fn median(samples: &[Self]) -> Self {
        let micros = median(samples.iter().map(|sample| sample.micros));
        Self { micros, loss: samples.iter().map(|sample| sample.loss).fold(0.0, f64::max) }
    }
}

/// The type of the relayed packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) allocations: usize,
    pub(super) size: usize,
    pub(super) burst: usize,
    pub(super) direction: Direction,
}

/// The figures of a round at a fixed rate.
#[derive(Debug, Clone, Copy)]
struct Paced {
    figures: Figures,
    p50: Duration,
    p99: Duration,
}

/// The cost of allocations in a round: CPU microseconds and bytes of RAM for each.
#[derive(Debug, Clone, Copy)]
struct Setup {
    micros: f64,
    bytes: f64,
}

/// Samples of every round by measurement, in the order in which they were first taken.
struct Samples<K, S>(Vec<(K, Vec<S>)>);

impl<K: PartialEq, S> Samples<K, S> {
    fn add(&mut self, key: K, sample: S) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, samples)) => samples.push(sample),
            None => self.0.push((key, vec![sample])),
        }
    }

    fn of(&self, key: &K) -> Option<&[S]> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, samples)| samples.as_slice())
    }
}

impl<K, S> Default for Samples<K, S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// All results.
#[derive(Default)]
pub(super) struct Report {
    packets: Samples<(Case, Kind), Figures>,
    paced: Samples<(Kind, u32), Paced>,
    setups: Samples<(Kind, usize), Setup>,
}

impl Report {
    pub(super) fn packets(&mut self, kind: Kind, case: Case, figures: Figures) {
        let Case { allocations, size, burst, direction } = case;
        eprintln!("{kind:?} {allocations} × {size} bytes × {burst} {direction:?}: {}", show(figures));
        self.packets.add((case, kind), figures);
    }

    /// A run at a fixed rate, with the delays of all packets, sorted.
    pub(super) fn paced(&mut self, kind: Kind, rate: u32, figures: Figures, delays: &[Duration]) {
        let at = |hundredth: usize| delays.get(delays.len() * hundredth / 100).copied().unwrap_or_default();
        self.paced.add((kind, rate), Paced { figures, p50: at(50), p99: at(99) });
    }

    pub(super) fn setup(&mut self, kind: Kind, allocations: usize, cost: Duration, grown: u64) {
        let count = f64::from(u32::try_from(allocations.max(1)).unwrap_or(u32::MAX));
        let micros = cost.as_secs_f64() * 1e6 / count;
        let bytes = f64::from(u32::try_from(grown).unwrap_or(u32::MAX)) / count;
        self.setups.add((kind, allocations), Setup { micros, bytes });
    }

    pub(super) fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "CPU µs of the server per relayed packet (worst loss in percent, where there was any)\n"
        )?;
        writeln!(
            text,
            "| allocations | bytes | burst | way | bare loop | visavis | coturn | of bare | of coturn |"
        )?;
        writeln!(text, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
        let mut cases: Vec<Case> = Vec::new();
        for ((case, _), _) in &self.packets.0 {
            if !cases.contains(case) {
                cases.push(*case);
            }
        }
        for case in cases {
            let of = |kind| self.packets.of(&(case, kind)).map(Figures::median);
            let cell = |kind| of(kind).map_or("–".to_owned(), show);
            let ratio = |kind| match (of(Kind::Visavis), of(kind)) {
                (Some(ours), Some(other)) => format!("{:.2}", ours.micros / other.micros),
                _ => "–".to_owned(),
            };
            let way = match case.direction {
                Direction::ToPeer => "client → peer",
                Direction::ToClient => "peer → client",
            };
            writeln!(
                text,
                "| {} | {} | {} | {way} | {} | {} | {} | {} | {} |",
                case.allocations,
                case.size,
                case.burst,
                cell(Kind::Floor),
                cell(Kind::Visavis),
                cell(Kind::Coturn),
                ratio(Kind::Floor),
                ratio(Kind::Coturn),
            )?;
        }
        writeln!(
            text,
            "\n| server | packets/s | CPU µs per packet | p50 µs | p99 µs |\n| --- | --- | --- | --- | --- |"
        )?;
        for ((kind, rate), rounds) in &self.paced.0 {
            let figures: Vec<_> = rounds.iter().map(|round| round.figures).collect();
            let micros = |delay: fn(&Paced) -> Duration| {
                median(rounds.iter().map(|round| delay(round).as_secs_f64() * 1e6))
            };
            let (p50, p99) = (micros(|round| round.p50), micros(|round| round.p99));
            let cost = show(Figures::median(&figures));
            writeln!(text, "| {kind:?} | {rate} | {cost} | {p50:.0} | {p99:.0} |")?;
        }
        writeln!(
            text,
            "\n| server | allocations | CPU µs to make one | allocations per CPU s | bytes of RAM each |"
        )?;
        writeln!(text, "| --- | --- | --- | --- | --- |")?;
        for ((kind, allocations), rounds) in &self.setups.0 {
            let micros = median(rounds.iter().map(|round| round.micros));
            let bytes = median(rounds.iter().map(|round| round.bytes));
            writeln!(text, "| {kind:?} | {allocations} | {micros:.1} | {:.0} | {bytes:.0} |", 1e6 / micros)?;
        }
        Ok(())
    }
}

fn show(figures: Figures) -> String {
    if figures.loss > 0.005 {
        format!("{:.2} ({:.2}%)", figures.micros, figures.loss)
    } else {
        format!("{:.2}", figures.micros)
    }
}
