//! What the estimator has to show on simulated links, for each of many seeds.
//!
//! `CONGESTION_SEEDS` is the number of seeds; `tests/long/congestion` sets it to 1,000.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::time::Duration;

use congestion::Limits;
use congestion::simulator::cases::{Case, MOST};
use congestion::simulator::{
    Direction, LinkSettings, MediaFlow, Random, Simulation, Source, TcpFlow, Transfers,
};

/// Runs a check with each seed, and reports the seeds that fail it. One of 200 may: chance makes links and flows that no
/// estimator would judge well. Of the 20 seeds that run with the other tests, none may.
fn with_seeds(check: impl Fn(u64) -> Result<(), String>) {
    let count: u64 = std::env::var("CONGESTION_SEEDS").map_or(20, |count| count.parse().unwrap());
    let failures: Vec<_> = (0..count)
        .filter_map(|seed| check(seed).err().map(|error| format!("seed {seed}: {error}")))
        .collect();
    let shown = failures.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.len() as u64 * 200 <= count, "{} of {count} failed:\n{shown}", failures.len());
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A link of 300 kbit/s to 6 Mbit/s with a delay of 5 to 100 ms, a queue of 100 to 500 ms and some jitter.
fn link(random: &mut Random) -> LinkSettings {
    LinkSettings {
        rates: vec![(0, random.within(300..6_000) * 1_000)],
        queue_micros: random.within(100_000..500_000),
        delay_micros: random.within(5_000..100_000),
        jitter_micros: random.within(0..15_000),
        loss_per_mille: 0,
    }
}

/// One continuous source on this link.
fn alone(seed: u64, link: LinkSettings) -> Simulation {
    let back = LinkSettings { rates: vec![(0, 100_000_000)], ..link.clone() };
    let mut simulation = Simulation::new(seed, link, LinkSettings { loss_per_mille: 0, ..back });
    simulation.add(MediaFlow::new(Source::default(), Limits::default()), Direction::There, 0);
    simulation
}

#[test]
fn a_fixed_link_is_used_and_its_queue_is_short() {
    with_seeds(|seed| {
        let link = link(&mut Random::new(seed));
        let rate = link.rates[0].1;
        let mut simulation = alone(seed, link);
        simulation.run(seconds(50));
        let figures = simulation.figures(0);
        let (used, wait) = (figures.rate(20, 50) * 100 / rate, figures.wait(20, 50, 50));
        ensure(used >= 85, || format!("{used} % of {rate} used"))?;
        ensure(wait < 60_000, || format!("a queue of {wait} us at {rate}"))
    });
}

#[test]
fn a_halved_link_is_answered_in_time() {
    with_seeds(|seed| {
        let mut link = link(&mut Random::new(seed));
        let half = link.rates[0].1 / 2;
        link.rates = vec![(0, half * 2), (30, half)];
        let mut simulation = alone(seed, link);
        let mut target = u64::MAX;
        for millis in (30_000..31_500).step_by(50) {
            simulation.run(Duration::from_millis(millis));
            target = target.min(simulation.target(0));
        }
        ensure(target <= half, || format!("a target of {target} on {half} within 1.5 s"))?;
        simulation.run(seconds(50));
        let wait = simulation.figures(0).wait(33, 50, 50);
        ensure(wait < 60_000, || format!("a queue of {wait} us at {half}"))
    });
}

#[test]
fn more_room_is_found() {
    with_seeds(|seed| {
        let mut link = link(&mut Random::new(seed));
        let rate = link.rates[0].1;
        link.rates = vec![(0, rate), (20, rate * 4)];
        let mut simulation = alone(seed, link);
        simulation.run(seconds(40));
        let used = simulation.figures(0).rate(30, 40) * 100 / (rate * 4);
        ensure(used >= 80, || format!("{used} % of {} used 10 s after the rise", rate * 4))
    });
}

/// Whether each of the first `flows` flows gets what all get on average, within a quarter.
fn fair(simulation: &Simulation, flows: usize, from: u64, until: u64) -> Result<(), String> {
    let rates: Vec<_> = (0..flows).map(|flow| simulation.figures(flow).rate(from, until)).collect();
    let mean = rates.iter().sum::<u64>() / flows as u64;
    let is_fair = rates.iter().all(|rate| (mean * 3 / 4..=mean * 5 / 4).contains(rate));
    ensure(is_fair, || format!("{rates:?} from second {from} to {until}"))
}

#[test]
fn two_flows_share_a_link_that_changes() {
    with_seeds(|seed| {
        let mut simulation = Case::TwoFlows.build(seed, true);
        simulation.run(seconds(125));
        (0..5).try_for_each(|phase| fair(&simulation, 2, phase * 25 + 5, phase * 25 + 25))
    });
}

#[test]
fn three_flows_share_a_link_with_whom_comes_later() {
    with_seeds(|seed| {
        let mut simulation = Case::ThreeFlows.build(seed, true);
        simulation.run(seconds(120));
        fair(&simulation, 2, 25, 40)?;
        fair(&simulation, 3, 60, 120)
    });
}

#[test]
fn a_share_is_held_beside_tcp() {
    with_seeds(|seed| {
        let mut random = Random::new(seed);
        let mut link = link(&mut random);
        link.rates = vec![(0, random.within(1_000..5_000) * 1_000)];
        let rate = link.rates[0].1;
        let mut simulation = alone(seed, link);
        let start = random.below(10);
        simulation.add(TcpFlow::new(start, Transfers::Long, seed), Direction::There, 0);
        simulation.run(seconds(120));
        let share = simulation.figures(0).rate(20, 120) * 100 / rate;
        ensure(share >= 20, || format!("{share} % of {rate}"))?;
        let least = (20..115).map(|second| simulation.figures(0).rate(second, second + 5)).min().unwrap();
        ensure(least * 20 >= rate, || format!("{least} of {rate} for five seconds"))
    });
}

#[test]
fn the_link_is_quiet_again_after_tcp() {
    with_seeds(|seed| {
        let mut simulation = alone(seed, LinkSettings::new(2_000_000));
        let file = Transfers::Short(5_000_000..5_000_001, seconds(100_000));
        simulation.add(TcpFlow::new(10, file, seed), Direction::There, 0);
        simulation.run(seconds(100));
        let figures = simulation.figures(0);
        let (used, wait) = (figures.rate(80, 100) * 100 / 2_000_000, figures.wait(80, 100, 50));
        ensure(used >= 85 && wait < 60_000, || format!("{used} % used, a queue of {wait} us"))
    });
}

#[test]
fn random_loss_costs_little() {
    with_seeds(|seed| {
        let clean = link(&mut Random::new(seed));
        let lossy = LinkSettings { loss_per_mille: 50, ..clean.clone() };
        let [clean, lossy] = [clean, lossy].map(|link| {
            let mut simulation = alone(seed, link);
            simulation.run(seconds(60));
            simulation.figures(0).rate(20, 60)
        });
        ensure(lossy * 5 >= clean * 4, || format!("{lossy} with loss, {clean} without"))
    });
}

#[test]
fn a_source_of_steps_reaches_the_layer_that_fits() {
    with_seeds(|seed| {
        let mut link = link(&mut Random::new(seed));
        link.rates = vec![(0, 3_000_000)];
        let source = Source { layers: vec![150_000, 500_000, 1_700_000], most: MOST, ..Source::default() };
        let mut simulation = Simulation::new(seed, link.clone(), LinkSettings::new(100_000_000));
        simulation.add(MediaFlow::new(source, Limits::default()), Direction::There, 0);
        simulation.run(seconds(30));
        let rate = simulation.figures(0).rate(10, 30);
        ensure(rate >= 1_600_000, || format!("{rate} of 1,700,000"))
    });
}
