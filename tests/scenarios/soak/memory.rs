//! Resident memory over a long run.

use crate::gauges::Gauges;

/// Rows of the table.
const ROWS: usize = 20;

/// KiB by which the median of the last quarter may exceed that of the second. Growth without a leak: TLS sessions fill
/// a table of fixed size, and the allocator's peak may be exceeded by a later coincidence of many clients; in runs of
/// three and four minutes 300 to 1,300. In five minutes, 670 rounds of nine sessions lie between the two quarters: an
/// excess is a leak of 4.5 KiB per round, or half a KiB per session. A longer run detects smaller ones.
const TOLERANCE: u64 = 3_072;

/// The samples, with the number of rounds before each.
#[derive(Default)]
pub(crate) struct Memory(Vec<(usize, Gauges)>);

impl Memory {
    pub(crate) fn note(&mut self, rounds: usize, gauges: Gauges) {
        self.0.push((rounds, gauges));
    }

    pub(crate) fn print(&self) {
        println!(
            "{:>8} {:>9} {:>5} {:>7} {:>6} {:>6} {:>10} {:>7}",
            "rounds", "RSS KiB", "fds", "threads", "rooms", "peers", "transports", "relays"
        );
        for (rounds, gauges) in self.0.iter().step_by(self.0.len().div_ceil(ROWS).max(1)) {
            let count = |name| gauges.count(name);
            println!(
                "{rounds:>8} {:>9} {:>5} {:>7} {:>6} {:>6} {:>10} {:>7}",
                gauges.memory,
                gauges.descriptors,
                gauges.threads,
                count("rooms"),
                count("peers"),
                count("sfu_transports"),
                count("turn_allocations"),
            );
        }
    }

    /// Fails if memory grows with the rounds. By the second quarter of a run of some minutes, everything kept for a
    /// limited time (such as the names of ended rooms) is present.
    pub(crate) fn judge(&self) {
        let quarter = self.0.len() / 4;
        let early = median(&self.0[quarter..2 * quarter]);
        let late = median(&self.0[3 * quarter..]);
        println!(
            "median RSS of the second quarter {} KiB after {} rounds, of the last {} KiB after {}",
            early.1, early.0, late.1, late.0
        );
        assert!(
            late.1 <= early.1 + TOLERANCE,
            "memory grows: by {} KiB in {} rounds",
            late.1 - early.1,
            late.0 - early.0
        );
    }
}

/// The medians of rounds and KiB.
fn median(seen: &[(usize, Gauges)]) -> (usize, u64) {
    let mut sizes: Vec<_> = seen.iter().map(|(_, gauges)| gauges.memory).collect();
    sizes.sort_unstable();
    (seen[seen.len() / 2].0, sizes[sizes.len() / 2])
}

/// Rounds with this many KiB more after each, plus the variation of an allocator.
fn seen(kib_a_round: u64) -> Memory {
    let gauges = |round: u64| Gauges {
        memory: 68_000 + kib_a_round * round + round % 7 * 100,
        descriptors: 31,
        threads: 9,
        counts: std::collections::BTreeMap::new(),
    };
    Memory((0..1_300_u32).map(|round| (round as usize, gauges(round.into()))).collect())
}

#[test]
fn steady_memory_is_no_leak() {
    seen(0).judge();
}

#[test]
#[should_panic(expected = "memory grows")]
fn memory_that_grows_with_the_rounds_is_a_leak() {
    seen(5).judge();
}
