//! The result as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::verdict::{Bend, Kind, Step};

/// All steps, and how they ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) shape: &'static str,
    pub(super) url: String,
    pub(super) steps: Vec<Step>,
    /// People at the largest size that did not bend.
    pub(super) carried: usize,
    /// The same in words.
    pub(super) carried_load: Option<String>,
    pub(super) bend: Bend,
}

/// The heads of the columns of [`row`].
pub(super) const HEAD: &str = "load          people  joining  delivered  delay p50/p99     from server    to server  server cores   memory  generator";

/// A step as one line.
pub(super) fn row(step: &Step) -> String {
    let server = step.server.as_ref();
    let cores = server.and_then(|server| server.cores_used);
    let cores = cores.map_or("–".to_owned(), |used| format!("{used:.2}"));
    let memory = server.and_then(|server| server.memory_mib);
    let memory = memory.map_or("–".to_owned(), |mib| format!("{mib:.0} MiB"));
    let delays = format!("{:.1}/{:.1} ms", step.delay_p50_ms, step.delay_p99_ms);
    format!(
        "{:<12} {:>7} {:>7.1}s {:>9.2}% {:>14} {:>8.1} Mbit/s {:>5.1} Mbit/s {:>13} {:>8}  {:.1} ms late",
        step.load,
        step.people,
        step.joining_s,
        step.delivered_percent,
        delays,
        step.mbit_from_server,
        step.mbit_to_server,
        cores,
        memory,
        step.generator.late_ms,
    )
}

impl Report {
    /// The conclusion, for people.
    pub(super) fn conclusion(&self) -> String {
        let Self { bend, carried, carried_load, .. } = self;
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match carried_load {
            Some(load) => writeln!(text, "\nCarried: {load}, {carried} people."),
            None => writeln!(text, "\nCarried: not even the first step."),
        };
        let verb = match bend.kind {
            Kind::None | Kind::Time => "Not bent",
            Kind::Refused => "Refused",
            Kind::Generator => "Unknown beyond that",
            Kind::Loss | Kind::Delay => "Bent",
        };
        let _ = writeln!(text, "{verb}: {}.", bend.what);
        if let Some(limit) = &bend.limit {
            let _ = writeln!(text, "Broke first: {limit}.");
        }
        for evidence in &bend.evidence {
            let _ = writeln!(text, "  - {evidence}");
        }
        text
    }
}
