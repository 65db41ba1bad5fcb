//! A room on several nodes, under faults of every kind, in virtual time: nothing acknowledged is lost or happens twice,
//! nothing is told out of order without a gap, and nobody waits for ever. And each rule of that is needed.
//!
//! A failure names its seed. `VISAVIS_SEED=n cargo test -p signaling-core --test ownership` runs that seed alone, and
//! `VISAVIS_SEEDS=n` runs that many; `tests/long/ownership` runs ten thousand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod cluster;

use cluster::Cluster;

/// Seeds that once failed.
const REGRESSIONS: &[u64] =
    &[450, 606, 2152, 3072, 4144, 4480, 5112, 6774, 7348, 9033, 9160, 9908, 1080, 4040];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn what_is_acknowledged_happens_once_and_in_order_whatever_happens_to_nodes() {
    let seeds: Vec<u64> = match number("VISAVIS_SEED") {
        Some(seed) => vec![seed],
        None => REGRESSIONS.iter().copied().chain(0..number("VISAVIS_SEEDS").unwrap_or(200)).collect(),
    };
    let (mut acknowledged, mut gaps, mut failed) = (0, 0, Vec::new());
    for seed in seeds {
        let mut cluster = Cluster::new(seed, None);
        let run = std::panic::AssertUnwindSafe(|| cluster.run());
        let wrong = std::panic::catch_unwind(run).unwrap_or_else(|_| vec!["a panic".to_owned()]);
        (acknowledged, gaps) = (acknowledged + cluster.acknowledged(), gaps + cluster.gaps());
        if !wrong.is_empty() {
            eprintln!("VISAVIS_SEED={seed}: {wrong:#?}");
            failed.push(seed);
        }
    }
    println!("{acknowledged} messages acknowledged, {gaps} gaps");
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
}

#[cfg(feature = "broken-rules")]
#[test]
fn without_any_one_rule_something_goes_wrong() {
    use signaling_core::OwnershipRule as Rule;
    let rules = [
        Rule::Fence,
        Rule::Repeat,
        Rule::Hole,
        Rule::Bounds,
        Rule::Future,
        Rule::Judge,
        Rule::PassOn,
        Rule::Ack,
        Rule::Author,
    ];
    for rule in rules {
        Rule::only_without(Some(rule));
        let failing = (0..100).find_map(|seed| {
            let wrong = Cluster::new(seed, Some(rule)).run();
            wrong.into_iter().next().map(|wrong| (seed, wrong))
        });
        Rule::only_without(None);
        println!("{rule:?}: {failing:?}");
        assert!(failing.is_some(), "nothing goes wrong without {rule:?}");
    }
}
