//! A bounded set of numbers, mostly consecutive.

use std::collections::BTreeMap;

/// The most ranges that are kept.
const RANGES: usize = 256;

/// A set of numbers, stored as ranges. When there are too many ranges, the lowest are dropped, which `has_dropped`
/// reports.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberSet {
    /// First and last number of each range.
    ranges: BTreeMap<u64, u64>,
    /// Up to this number, membership is unknown.
    floor: u64,
}

impl NumberSet {
    /// Whether the number is in the set, as far as that is known.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.range_of(number).is_some()
    }

    /// Whether membership of the number is unknown, because ranges near it were dropped.
    pub(crate) fn has_dropped(&self, number: u64) -> bool {
        number <= self.floor && self.floor > 0
    }

    fn range_of(&self, number: u64) -> Option<(u64, u64)> {
        let (first, last) = self.ranges.range(..=number).next_back()?;
        (number <= *last).then_some((*first, *last))
    }

    /// Adds the numbers from `first` to `last`, none of which may be in the set.
    pub(crate) fn insert(&mut self, first: u64, last: u64) {
        let below = first.checked_sub(1).and_then(|below| self.range_of(below));
        let above = last.checked_add(1).and_then(|above| self.ranges.remove(&above));
        self.ranges.insert(below.map_or(first, |(first, _)| first), above.unwrap_or(last));
        if self.ranges.len() > RANGES
            && let Some((_, last)) = self.ranges.pop_first()
        {
            self.floor = last;
        }
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let Some((first, last)) = self.range_of(number) else { return };
        self.ranges.remove(&first);
        if first < number {
            self.ranges.insert(first, number - 1);
        }
        if number < last {
            self.ranges.insert(number + 1, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0_u64..24, 0_u64..4), 0..200)) {
            let (mut numbers, mut plain) = (NumberSet::default(), BTreeSet::new());
            for (insert, first, more) in steps {
                if insert && plain.range(first..=first + more).next().is_none() {
                    numbers.insert(first, first + more);
                    plain.extend(first..=first + more);
                } else if !insert {
                    numbers.remove(first);
                    plain.remove(&first);
                }
                prop_assert!((0..30).all(|number| numbers.contains(number) == plain.contains(&number)));
            }
        }
    }

    #[test]
    fn it_is_bounded_and_knows_what_it_has_dropped() {
        let mut numbers = NumberSet::default();
        assert!(!numbers.has_dropped(0));
        for number in 0..10_000 {
            numbers.insert(number * 2, number * 2);
        }
        assert_eq!(numbers.ranges.len(), RANGES);
        assert!(numbers.contains(19_998) && !numbers.contains(0));
        assert!(numbers.has_dropped(0) && numbers.has_dropped(1_001) && !numbers.has_dropped(19_998));
        numbers.insert(u64::MAX, u64::MAX);
        assert!(numbers.contains(u64::MAX));
    }
}
