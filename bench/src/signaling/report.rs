//! Figures and tables.

use std::fmt::Write as _;
use std::time::Duration;

use super::server::Kind;
use super::{resume, rooms, stalled};

/// Delivery delays: half of them are at most `p50`, 99% at most `p99`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delays {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Delays {
    pub(super) fn of(delays: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = delays.collect();
        sorted.sort_unstable();
        let at = |hundredth: usize| sorted.get(sorted.len() * hundredth / 100).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99) }
    }

    /// The repetition with the median p99.
    pub(super) fn median(mut samples: Vec<Self>) -> Self {
        samples.sort_by_key(|delays| delays.p99);
        samples.get(samples.len() / 2).copied().unwrap_or_default()
    }
}

/// All results.
#[derive(Default)]
pub(super) struct Report {
    pub(super) memory: Vec<(Kind, f64)>,
    pub(super) rooms: Vec<(Kind, rooms::Figures)>,
    pub(super) resumes: Vec<(Kind, resume::Figures)>,
    pub(super) stalled: Vec<(Kind, stalled::Figures)>,
}

impl Report {
    pub(super) fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_memory(&mut text);
        let _ = self.write_rooms(&mut text);
        let _ = self.write_resumes(&mut text);
        let _ = self.write_stalled(&mut text);
        text
    }

    fn write_memory(&self, text: &mut String) -> std::fmt::Result {
        if self.memory.is_empty() {
            return Ok(());
        }
        writeln!(text, "| server | KiB of RAM for a session |\n| --- | --- |")?;
        for (kind, bytes) in &self.memory {
            writeln!(text, "| {} | {:.1} |", kind.title(), bytes / 1024.0)?;
        }
        writeln!(text)
    }

    fn write_rooms(&self, text: &mut String) -> std::fmt::Result {
        if self.rooms.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "| members | server | deliveries for a CPU second | of its peer | deliveries a second | CPU µs each, paced | \
             p50 ms | p99 ms |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for (kind, figures) in &self.rooms {
            let rooms::Figures { room_size, per_cpu_second, per_second, paced_cpu, delays } = figures;
            writeln!(
                text,
                "| {room_size} | {} | {per_cpu_second:.0} | {} | {per_second:.0} | {:.1} | {:.2} | {:.2} |",
                kind.title(),
                self.of_peer(*kind, figures),
                paced_cpu.as_secs_f64() * 1e6,
                delays.p50.as_secs_f64() * 1e3,
                delays.p99.as_secs_f64() * 1e3,
            )?;
        }
        writeln!(text)
    }

    /// The ratio to the reference.
    fn of_peer(&self, kind: Kind, figures: &rooms::Figures) -> String {
        let peer = match kind {
            Kind::WebsocketUnkept => Kind::Websocket,
            Kind::Websocket | Kind::Sse => Kind::Floor,
            Kind::Socketio | Kind::Bare => Kind::Node,
            Kind::Floor | Kind::Node => return String::new(),
        };
        let found =
            self.rooms.iter().find(|(other, theirs)| *other == peer && theirs.room_size == figures.room_size);
        found.map_or(String::new(), |(_, theirs)| {
            format!("{:.2} × {}", figures.per_cpu_second / theirs.per_cpu_second, peer.title())
        })
    }

    fn write_resumes(&self, text: &mut String) -> std::fmt::Result {
        if self.resumes.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "| server | sessions that resume at once | seconds until all have everything | CPU seconds | lost | \
             doubled |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        for (kind, figures) in &self.resumes {
            let resume::Figures { sessions, time, cpu, lost, doubled } = figures;
            writeln!(
                text,
                "| {} | {sessions} | {:.2} | {:.2} | {lost} | {doubled} |",
                kind.title(),
                time.as_secs_f64(),
                cpu.as_secs_f64()
            )?;
        }
        writeln!(text)
    }

    fn write_stalled(&self, text: &mut String) -> std::fmt::Result {
        if self.stalled.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "| server | p50 ms | p99 ms | p50 ms with stalled readers | p99 ms with stalled readers | of before |\n\
             | --- | --- | --- | --- | --- | --- |"
        )?;
        for (kind, figures) in &self.stalled {
            let stalled::Figures { before, during } = figures;
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            writeln!(
                text,
                "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                kind.title(),
                millis(before.p50),
                millis(before.p99),
                millis(during.p50),
                millis(during.p99),
                figures.change()
            )?;
        }
        writeln!(text)
    }
}
