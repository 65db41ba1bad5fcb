//! Numbers of messages that were refused for their rate, and may come again though greater ones have been used.

use std::collections::BTreeMap;

/// Ranges that are kept: a burst is one, and each message that gets through it parts one in two.
const RANGES: usize = 256;

/// A set of numbers, mostly consecutive. Of too many ranges the lowest are forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Postponed {
    /// First and last number of each range.
    ranges: BTreeMap<u64, u64>,
}

impl Postponed {
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.range_of(number).is_some()
    }

    fn range_of(&self, number: u64) -> Option<(u64, u64)> {
        let (first, last) = self.ranges.range(..=number).next_back()?;
        (number <= *last).then_some((*first, *last))
    }

    pub(crate) fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let below = number.checked_sub(1).and_then(|below| self.range_of(below));
        let above = number.checked_add(1).and_then(|above| self.ranges.remove(&above));
        self.ranges.insert(below.map_or(number, |(first, _)| first), above.unwrap_or(number));
        if self.ranges.len() > RANGES {
            self.ranges.pop_first();
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
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0_u64..24), 0..200)) {
            let (mut postponed, mut plain) = (Postponed::default(), BTreeSet::new());
            for (insert, number) in steps {
                if insert {
                    postponed.insert(number);
                    plain.insert(number);
                } else {
                    postponed.remove(number);
                    plain.remove(&number);
                }
                prop_assert!((0..25).all(|number| postponed.contains(number) == plain.contains(&number)));
            }
        }
    }

    #[test]
    fn it_is_bounded() {
        let mut postponed = Postponed::default();
        for number in 0..10_000 {
            postponed.insert(number * 2);
        }
        assert_eq!(postponed.ranges.len(), RANGES);
        assert!(postponed.contains(19_998) && !postponed.contains(0));
        postponed.insert(u64::MAX);
        assert!(postponed.contains(u64::MAX));
    }
}
