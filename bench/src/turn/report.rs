//! Figures and tables.

use std::fmt::Write as _;
use std::time::Duration;

use super::load::Direction;
use super::server::Kind;

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// CPU microseconds of the server for each packet that arrived.
    micros: f64,
    /// Packets that did not arrive, of a hundred.
    loss: f64,
}

impl Figures {
    pub(super) fn new(cost: Duration, sent: usize, received: usize) -> Self {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let micros = cost.as_secs_f64() * 1e6 / count(received.max(1));
        let loss = 100.0 * (1.0 - count(received) / count(sent.max(1)));
        Self { micros, loss: loss.max(0.0) }
    }

    /// The middle one by CPU time, with the worst loss of all.
    pub(super) fn median(samples: &[Self]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(|a, b| a.micros.total_cmp(&b.micros));
        let middle = sorted.get(sorted.len() / 2).copied();
        let loss = samples.iter().map(|sample| sample.loss).fold(0.0, f64::max);
        Self { micros: middle.map_or(f64::NAN, |middle| middle.micros), loss }
    }
}

pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) allocations: usize,
    pub(super) size: usize,
    pub(super) burst: usize,
    pub(super) direction: Direction,
    pub(super) figures: Figures,
}

impl Row {
    fn case(&self) -> (usize, usize, usize, Direction) {
        (self.allocations, self.size, self.burst, self.direction)
    }
}

/// A run at a fixed rate.
pub(super) struct Paced {
    kind: Kind,
    rate: u32,
    figures: Figures,
    p50: Duration,
    p99: Duration,
}

impl Paced {
    pub(super) fn median(kind: Kind, rate: u32, mut samples: Vec<(Figures, Vec<Duration>)>) -> Self {
        let figures: Vec<Figures> = samples.iter().map(|(figures, _)| *figures).collect();
        samples.sort_by(|(a, _), (b, _)| a.micros.total_cmp(&b.micros));
        let delays = samples.swap_remove(samples.len() / 2).1;
        let at = |hundredth: usize| delays.get(delays.len() * hundredth / 100).copied().unwrap_or_default();
        Self { kind, rate, figures: Figures::median(&figures), p50: at(50), p99: at(99) }
    }
}

struct Setup {
    kind: Kind,
    allocations: usize,
    micros: f64,
    bytes: u64,
}

/// All that was measured.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    paced: Vec<Paced>,
    setups: Vec<Setup>,
}

impl Report {
    pub(super) fn row(&mut self, row: Row) {
        let Row { kind, allocations, size, burst, direction, figures } = &row;
        eprintln!("{kind:?} {allocations} × {size} bytes × {burst} {direction:?}: {}", show(*figures));
        self.rows.push(row);
    }

    pub(super) fn paced(&mut self, paced: Paced) {
        self.paced.push(paced);
    }

    pub(super) fn setup(&mut self, kind: Kind, allocations: usize, cost: Duration, grown: u64) {
        let count = f64::from(u32::try_from(allocations.max(1)).unwrap_or(u32::MAX));
        let micros = cost.as_secs_f64() * 1e6 / count;
        self.setups.push(Setup { kind, allocations, micros, bytes: grown / allocations.max(1) as u64 });
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
        let mut cases: Vec<_> = self.rows.iter().map(Row::case).collect();
        cases.dedup();
        let mut seen = Vec::new();
        for case in cases {
            if seen.contains(&case) {
                continue;
            }
            seen.push(case);
            let of = |kind| self.rows.iter().find(|row| row.kind == kind && row.case() == case);
            let cell = |kind| of(kind).map_or("–".to_owned(), |row| show(row.figures));
            let ratio = |kind| match (of(Kind::Visavis), of(kind)) {
                (Some(ours), Some(other)) => format!("{:.2}", ours.figures.micros / other.figures.micros),
                _ => "–".to_owned(),
            };
            let way = match case.3 {
                Direction::ToPeer => "client → peer",
                Direction::ToClient => "peer → client",
            };
            writeln!(
                text,
                "| {} | {} | {} | {way} | {} | {} | {} | {} | {} |",
                case.0,
                case.1,
                case.2,
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
        for paced in &self.paced {
            let (p50, p99) = (paced.p50.as_micros(), paced.p99.as_micros());
            writeln!(
                text,
                "| {:?} | {} | {} | {p50} | {p99} |",
                paced.kind,
                paced.rate,
                show(paced.figures)
            )?;
        }
        writeln!(
            text,
            "\n| server | allocations | CPU µs to make one | allocations per CPU s | bytes of RAM each |"
        )?;
        writeln!(text, "| --- | --- | --- | --- | --- |")?;
        for setup in &self.setups {
            let Setup { kind, allocations, micros, bytes } = setup;
            writeln!(text, "| {kind:?} | {allocations} | {micros:.1} | {:.0} | {bytes} |", 1e6 / micros)?;
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
