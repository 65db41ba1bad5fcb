//! The cases 5.1 to 5.8 of RFC 8867 on the simulator of `congestion`, with the estimator and without it.

use std::time::Duration;

use clap::Args;
use congestion::simulator::cases::{ALL, Case, MOST};

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Each figure is the median of the runs with this many seeds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
}

/// The figures of one run.
struct Row {
    /// Kilobits per second of each flow of media.
    rates: Vec<u64>,
    /// The share of the link that all media got, of what it could have used, in percent.
    used: u64,
    /// The waits at the bottleneck that half and 95 % of the packets did not exceed, in milliseconds.
    waits: (u64, u64),
    /// The lost packets of a thousand.
    lost: u64,
    /// Kilobits per second of the TCP flows together.
    tcp: u64,
}

#[expect(clippy::print_stdout, reason = "the table is the program's output")]
pub(crate) fn run(arguments: &Arguments) {
    println!(
        "| case | estimator | each flow, kbit/s | link used | queue p50 / p95, ms | lost | TCP, kbit/s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, case) in ALL {
        for controlled in [true, false] {
            let rows: Vec<_> = (0..arguments.seeds).map(|seed| measure(case, seed, controlled)).collect();
            let rates = (0..case.flows()).map(|flow| {
                median(&rows, |row| row.rates.get(flow).copied().unwrap_or_default()).to_string()
            });
            let (p50, p95) = (median(&rows, |row| row.waits.0), median(&rows, |row| row.waits.1));
            let lost = median(&rows, |row| row.lost);
            println!(
                "| {name} | {} | {} | {}% | {p50} / {p95} | {}.{}% | {} |",
                if controlled { "on" } else { "off" },
                rates.collect::<Vec<_>>().join(" · "),
                median(&rows, |row| row.used),
                lost / 10,
                lost % 10,
                match median(&rows, |row| row.tcp) {
                    0 => "–".to_owned(),
                    tcp => tcp.to_string(),
                },
            );
        }
    }
}

fn measure(case: Case, seed: u64, controlled: bool) -> Row {
    let seconds = case.seconds();
    let mut simulation = case.build(seed, controlled);
    simulation.run(Duration::from_secs(seconds));
    let media: Vec<_> = (0..case.flows()).map(|flow| simulation.figures(flow)).collect();
    let others: Vec<_> = (case.flows()..simulation.flows()).map(|flow| simulation.figures(flow)).collect();
    let total: u64 = media.iter().map(|flow| flow.rate(0, seconds)).sum();
    // What is lost: the queue of the flow that suffers most.
    let wait = |percent| media.iter().map(|flow| flow.wait(0, seconds, percent)).max().unwrap_or(0) / 1_000;
    Row {
        rates: media.iter().map(|flow| flow.rate(0, seconds) / 1_000).collect(),
        used: total * 100 / usable(case),
        waits: (wait(50), wait(95)),
        lost: media.iter().map(|flow| flow.loss_per_mille()).max().unwrap_or(0),
        tcp: others.iter().map(|flow| flow.rate(0, seconds) / 1_000).sum(),
    }
}

/// The bits per second that the media of a case could use on average, if there were no other traffic.
fn usable(case: Case) -> u64 {
    let seconds = case.seconds();
    (0..seconds).map(|second| case.capacity(second).min(case.wanted(second, MOST))).sum::<u64>() / seconds
}

fn median(rows: &[Row], of: impl Fn(&Row) -> u64) -> u64 {
    let mut values: Vec<_> = rows.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
