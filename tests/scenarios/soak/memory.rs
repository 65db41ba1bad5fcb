//! Resident memory over a long run.

use crate::gauges::Gauges;

/// Rows of the table.
const ROWS: usize = 20;

/// KiB by which the last quarter's median may be above the second's. What is no leak and grows nevertheless: TLS sessions fill
/// a table of fixed size, and the allocator's peak is that of a moment when many came together, which a later one may top; in
/// runs of three and four minutes 300 to 1,300. In five minutes 670 rounds of nine sessions lie between the two quarters: what
/// is over it is a leak of 4.5 KiB a round, or half a KiB a session. A longer run sees smaller ones.
const TOLERANCE: u64 = 3_072;

/// What was seen, and after how many rounds.
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

    /// Fails when memory grows with the rounds. By the second quarter of some minutes all that is kept for a time (the names of
    /// rooms that ended, for one) is there.
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

/// Rounds and KiB of the middle.
fn median(seen: &[(usize, Gauges)]) -> (usize, u64) {
    let mut sizes: Vec<_> = seen.iter().map(|(_, gauges)| gauges.memory).collect();
    sizes.sort_unstable();
    (seen[seen.len() / 2].0, sizes[sizes.len() / 2])
}

/// Rounds with so many KiB more after each, beside an allocator's ups and downs.
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
