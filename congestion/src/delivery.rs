//! What arrives, by the receiver's clock, which shows the rate of a busy bottleneck however reports are delayed.

const BIN_MICROS: i64 = 20_000;
/// Covers half a second and the bin that is being filled.
const BINS: i64 = 26;
const SLOTS: usize = 26;
/// The shortest time over which a rate is measured.
const LEAST_MICROS: i64 = 200_000;
const LONGEST_MICROS: i64 = 500_000;

/// Counts bytes in bins of 20 ms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    bins: [u32; SLOTS],
    /// The number of the newest bin.
    newest: i64,
    first: Option<i64>,
}

impl Delivery {
    /// Adds a packet. Packets that arrived more than half a second before the newest one are ignored.
    pub(crate) fn add(&mut self, at_micros: i64, bytes: u16) {
        let bin = at_micros.div_euclid(BIN_MICROS);
        if self.first.is_none() {
            (self.first, self.newest) = (Some(bin), bin);
        }
        let passed = bin.saturating_sub(self.newest).clamp(0, BINS);
        for step in 1..=passed {
            if let Some(count) = self.bins.get_mut(slot(bin - passed + step)) {
                *count = 0;
            }
        }
        self.newest = self.newest.max(bin);
        if self.newest - bin < BINS
            && let Some(count) = self.bins.get_mut(slot(bin))
        {
            *count = count.saturating_add(u32::from(bytes));
        }
    }

    /// The bits per second of about the last `micros`, which is bounded to what is kept and useful.
    pub(crate) fn bits_per_second(&self, micros: i64) -> u64 {
        let Some(first) = self.first else { return 0 };
        // The newest bin is incomplete.
        let wanted = micros.clamp(LEAST_MICROS, LONGEST_MICROS) / BIN_MICROS;
        let bins = wanted.min(self.newest - first);
        if bins <= 0 {
            return 0;
        }
        let bytes: u64 = (1..=bins)
            .filter_map(|back| self.bins.get(slot(self.newest - back)))
            .map(|count| u64::from(*count))
            .sum();
        bytes * 8_000_000 / (bins * BIN_MICROS).unsigned_abs()
    }
}

fn slot(bin: i64) -> usize {
    usize::try_from(bin.rem_euclid(BINS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_the_newest_part() {
        let mut delivery = Delivery::default();
        assert_eq!(delivery.bits_per_second(500_000), 0);
        for at in 0..100 {
            // 1 Mbit/s, and half of that from 700 ms on.
            delivery.add(5 + at * 10_000, if at < 70 { 1_250 } else { 625 });
        }
        assert_eq!(delivery.bits_per_second(200_000), 500_000);
        assert_eq!(delivery.bits_per_second(500_000), 720_000, "11 of 25 bins are of the time before");
        delivery.add(5_000_000, 1_250);
        assert_eq!(delivery.bits_per_second(500_000), 0, "nothing arrived before this packet");
    }
}
