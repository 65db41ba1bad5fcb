//! What the server says of itself: its metrics before and after a step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;

use super::now;
use super::target::Target;

/// Parts of names of counters that grow when something is refused or lost.
const TROUBLE: [&str; 7] = ["dropped", "expired", "rate_limited", "refused", "lost", "error", "wrong"];

/// The values of all metrics, summed over labels, at one moment.
pub(super) struct Reading {
    at: Instant,
    values: BTreeMap<String, f64>,
}

/// The server during a step.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Use {
    /// Processor time per time: 1.5 is one and a half cores.
    pub(super) cores_used: Option<f64>,
    /// The cores that the server may use.
    pub(super) cores: Option<f64>,
    /// Resident memory in MiB.
    pub(super) memory_mib: Option<f64>,
    /// Counters of refusals and losses that have grown, and by how much.
    pub(super) grown: BTreeMap<String, f64>,
}

impl Reading {
    pub(super) fn take(metrics: &Target) -> anyhow::Result<Self> {
        let (status, body) = metrics.get(None)?;
        ensure!(status == 200, "the metrics' URL answers HTTP {status}");
        Ok(Self { at: now(), values: parse(&body) })
    }

    /// What has changed until a later reading.
    pub(super) fn until(&self, later: &Self) -> Use {
        let grown = later.values.iter().filter(|(name, _)| TROUBLE.iter().any(|part| name.contains(part)));
        let grown = grown.filter_map(|(name, value)| {
            let by = value - self.values.get(name).copied().unwrap_or(0.0);
            (by > 0.0).then(|| (name.clone(), by))
        });
        let time = later.at.saturating_duration_since(self.at).max(Duration::from_millis(1));
        let cpu = |reading: &Self| reading.values.get("process_cpu_seconds_total").copied();
        let gauge = |name: &str| later.values.get(name).copied();
        Use {
            cores_used: cpu(later)
                .zip(cpu(self))
                .map(|(after, before)| (after - before) / time.as_secs_f64()),
            cores: gauge("visavis_cores"),
            memory_mib: gauge("process_resident_memory_bytes").map(|bytes| bytes / f64::from(1 << 20)),
            grown: grown.collect(),
        }
    }
}

/// The text format of Prometheus.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let name = name.split('{').next().unwrap_or(name);
        if let Ok(value) = value.parse::<f64>() {
            *values.entry(name.to_owned()).or_insert(0.0) += value;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_grow_are_told() {
        let reading = |text: &str| Reading { at: now(), values: parse(text) };
        let before =
            reading("# HELP a\nprocess_cpu_seconds_total 2\nx_dropped_total{a=\"b c\"} 1\nx_sent_total 1\n");
        let after = Reading {
            at: before.at + Duration::from_secs(2),
            ..reading(
                "process_cpu_seconds_total 3\nx_dropped_total{a=\"b c\"} 3\nx_dropped_total 1\nx_sent_total 9\nvisavis_cores 2\n",
            )
        };
        let used = before.until(&after);
        assert_eq!((used.cores_used, used.cores, used.memory_mib), (Some(0.5), Some(2.0), None));
        assert_eq!(used.grown, BTreeMap::from([("x_dropped_total".to_owned(), 3.0)]));
    }
}
