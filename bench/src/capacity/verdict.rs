//! Steps, and what ends them.

use std::time::Duration;

use serde::Serialize;

use super::generator::OwnUse;
use super::metrics::Use;
use super::shape::Figures;

/// From this share of its cores on, a server has no processor time left: some is always spent waiting for locks and
/// sockets.
const CORES_FULL: f64 = 0.85;

/// Percentage of the time for which the load generator may wait for a processor before this is worth a line.
const WAITS: f64 = 5.0;

/// A load at one size.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    /// The size in words.
    pub(super) load: String,
    pub(super) people: usize,
    /// Seconds until all who were added had joined and were connected.
    pub(super) joining_s: f64,
    /// Packets or messages that should have arrived, and the percentage that has.
    pub(super) expected: u64,
    pub(super) delivered_percent: f64,
    pub(super) delay_p50_ms: f64,
    pub(super) delay_p99_ms: f64,
    /// Mbit/s of media from the server and to it, with the headers of IPv4 and UDP.
    pub(super) mbit_from_server: f64,
    pub(super) mbit_to_server: f64,
    pub(super) generator: OwnUse,
    /// With `--metrics`.
    pub(super) server: Option<Use>,
}

/// The limits beyond which a load counts as bent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Percentage of packets or messages that do not arrive.
    pub(super) loss_percent: f64,
    /// Delay at the 99th percentile, beyond that of the first step.
    pub(super) delay_ms: f64,
    /// Delay of the load generator itself.
    pub(super) late_ms: f64,
}

/// What ended the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Nothing: the largest size was reached.
    None,
    /// The time was up.
    Time,
    /// The server refused, or did not connect somebody.
    Refused,
    Loss,
    Delay,
    /// The load generator could not keep up.
    Generator,
}

/// Where the load bent, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bend {
    pub(super) kind: Kind,
    /// What was seen.
    pub(super) what: String,
    /// The limit or the resource that broke first, as far as it is known.
    pub(super) limit: Option<String>,
    /// What supports that.
    pub(super) evidence: Vec<String>,
}

/// A number as a float; counts of packets are far from its limits.
pub(super) fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

impl Step {
    pub(super) fn new(
        load: String,
        people: usize,
        joining: Duration,
        mut figures: Figures,
        time: Duration,
        generator: OwnUse,
        server: Option<Use>,
    ) -> Self {
        figures.delays.sort_unstable();
        let at = |hundredth: usize| {
            let delay = figures.delays.get(figures.delays.len() * hundredth / 100);
            delay.copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        let mbit = |bytes: u64| float(bytes / 1000) * 8.0 / 1e3 / time.as_secs_f64();
        Self {
            load,
            people,
            joining_s: joining.as_secs_f64(),
            expected: figures.expected,
            delivered_percent: 100.0 * float(figures.received) / float(figures.expected.max(1)),
            delay_p50_ms: at(50),
            delay_p99_ms: at(99),
            mbit_from_server: mbit(figures.bytes_received),
            mbit_to_server: mbit(figures.bytes_sent),
            generator,
            server,
        }
    }

    /// Whether this step is beyond a limit; `first` is the first step, whose delay is that of the way.
    pub(super) fn bend(&self, first: &Self, limits: Limits) -> Option<Bend> {
        let Self { generator, .. } = self;
        let added = self.delay_p99_ms - first.delay_p99_ms;
        let (kind, what) = if generator.late_ms > limits.late_ms {
            let what = format!(
                "the load generator is the limit: it is {:.0} ms late, so that its figures say nothing about the server",
                generator.late_ms
            );
            return Some(Bend { kind: Kind::Generator, what, ..self.generator_evidence() });
        } else if 100.0 - self.delivered_percent > limits.loss_percent {
            (Kind::Loss, format!("{:.1} % of what was sent did not arrive", 100.0 - self.delivered_percent))
        } else if added > limits.delay_ms {
            let (after, before) = (self.delay_p99_ms, first.delay_p99_ms);
            (Kind::Delay, format!("the delay grew from {before:.0} to {after:.0} ms (99th percentile)"))
        } else {
            return None;
        };
        Some(Bend { kind, what, ..self.cause() })
    }

    fn generator_evidence(&self) -> Bend {
        let OwnUse { cpu_percent, waited_percent, .. } = self.generator;
        let limit = if waited_percent > WAITS {
            "processors of the machine of the load generator, which other processes use"
        } else {
            "the one processor that the load generator uses: run several of them, on machines of their own"
        };
        let evidence = vec![format!(
            "it ran for {cpu_percent:.0} % of the time, and waited for a processor for {waited_percent:.0} %"
        )];
        Bend { kind: Kind::Generator, what: String::new(), limit: Some(limit.to_owned()), evidence }
    }

    /// The resource that is used up, according to the server's metrics.
    pub(super) fn cause(&self) -> Bend {
        let mut evidence = Vec::new();
        let mut limit = None;
        if self.generator.kernel_dropped > 0 {
            evidence.push(format!(
                "the kernel of this machine has dropped {} datagrams at full socket buffers (RcvbufErrors)",
                self.generator.kernel_dropped
            ));
        }
        if self.generator.waited_percent > WAITS {
            evidence.push(format!(
                "the load generator waited for a processor for {:.0} % of the time: a part of the delay is its own",
                self.generator.waited_percent
            ));
        }
        match &self.server {
            None => evidence.push("--metrics would show the server's processors and refusals".to_owned()),
            Some(server) => {
                let full = server.cores_used.zip(server.cores);
                if let Some((used, cores)) = full {
                    evidence.push(format!("the server used {used:.2} of {cores:.0} cores"));
                    limit = (used >= CORES_FULL * cores).then(|| "the server's processors".to_owned());
                }
                evidence.extend(server.grown.iter().map(|(name, by)| format!("{name} grew by {by:.0}")));
                if limit.is_none() && full.is_some() {
                    limit = Some(
                        "not the server's processors as a whole: one of its threads, other processes of its machine, the line between, or buffers of the kernels"
                            .to_owned(),
                    );
                }
            }
        }
        Bend { kind: Kind::None, what: String::new(), limit, evidence }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LIMITS: Limits = Limits { loss_percent: 1.0, delay_ms: 50.0, late_ms: 20.0 };

    fn step(received: u64, delay_ms: u64, late_ms: f64, cores_used: f64) -> Step {
        let generator = OwnUse { late_ms, cpu_percent: 99.0, waited_percent: 1.0, kernel_dropped: 0 };
        let grown = BTreeMap::from([("x_dropped_total".to_owned(), 7.0)]);
        let server = Use { cores_used: Some(cores_used), cores: Some(1.0), memory_mib: None, grown };
        let figures = Figures {
            expected: 1_000,
            received,
            delays: vec![Duration::from_millis(delay_ms); 100],
            bytes_received: 1_000_000,
            ..Figures::default()
        };
        let time = Duration::from_secs(2);
        Step::new("1 → 9".into(), 10, time, figures, time, generator, Some(server))
    }

    #[test]
    fn a_step_within_the_limits_does_not_bend() {
        let first = step(1_000, 5, 1.0, 0.1);
        assert!((first.mbit_from_server - 4.0).abs() < 0.01, "{first:?}");
        assert!(step(995, 50, 1.0, 0.99).bend(&first, LIMITS).is_none());
    }

    #[test]
    fn what_breaks_first_is_named() {
        let first = step(1_000, 5, 1.0, 0.1);
        let loss = step(900, 5, 1.0, 0.97).bend(&first, LIMITS).unwrap();
        assert_eq!((loss.kind, loss.limit.as_deref()), (Kind::Loss, Some("the server's processors")));
        assert_eq!(loss.evidence, ["the server used 0.97 of 1 cores", "x_dropped_total grew by 7"]);
        let delay = step(1_000, 80, 1.0, 0.3).bend(&first, LIMITS).unwrap();
        assert_eq!(delay.kind, Kind::Delay);
        assert!(delay.limit.unwrap().starts_with("not the server's processors"));
    }

    #[test]
    fn a_late_load_generator_blames_itself() {
        let first = step(1_000, 5, 1.0, 0.1);
        let bend = step(500, 500, 30.0, 0.97).bend(&first, LIMITS).unwrap();
        assert_eq!(bend.kind, Kind::Generator);
        assert!(bend.limit.unwrap().starts_with("the one processor"));
    }
}
