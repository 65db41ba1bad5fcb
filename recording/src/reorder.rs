//! Restores the order in which packets were sent.
//!
//! The media server requests lost packets again. Such a packet is useful until a later one has been written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long to wait for a missing packet.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Maximum number of packets that wait for a missing one.
const MAX_WAITING: usize = 4_096;
/// A jump of positions that loss does not explain: the publisher has started a new stream.
const NEW_STREAM: u64 = 1 << 16;

/// The output of a [`ReorderBuffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered<T> {
    /// The next item.
    Next(T),
    /// The number of lost items before the next one; 0 at the start of a new stream.
    Gap(u64),
}

/// Holds items that arrived before a missing one.
#[derive(Clone, Debug)]
pub struct ReorderBuffer<T> {
    /// The items by position, with their time of arrival.
    waiting: BTreeMap<u64, (T, Instant)>,
    /// The next position.
    next: Option<u64>,
}

impl<T> Default for ReorderBuffer<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), next: None }
    }
}

impl<T> ReorderBuffer<T> {
    /// Adds an item. `false` if it is too late or a duplicate.
    pub fn push(&mut self, position: u64, item: T, now: Instant) -> bool {
        let is_late = self.next.is_some_and(|next| position < next);
        if is_late || self.waiting.contains_key(&position) {
            return false;
        }
        self.waiting.insert(position, (item, now));
        true
    }

    /// The next output that is available now, in order.
    pub fn pop(&mut self, now: Instant) -> Option<Ordered<T>> {
        let (&position, (_, since)) = self.waiting.first_key_value()?;
        match self.next {
            Some(next) if position != next => {
                let is_patient =
                    now.saturating_duration_since(*since) < PATIENCE && self.waiting.len() < MAX_WAITING;
                if is_patient {
                    return None;
                }
                self.next = Some(position);
                let lost = position - next;
                Some(Ordered::Gap(if lost < NEW_STREAM { lost } else { 0 }))
            }
            _ => {
                self.next = Some(position + 1);
                self.waiting.pop_first().map(|(_, (item, _))| Ordered::Next(item))
            }
        }
    }

    /// The next output without waiting for missing items.
    pub fn flush(&mut self) -> Option<Ordered<T>> {
        let (&position, _) = self.waiting.first_key_value()?;
        match self.next.replace(position) {
            Some(next) if position != next => {
                let lost = position - next;
                Some(Ordered::Gap(if lost < NEW_STREAM { lost } else { 0 }))
            }
            _ => {
                self.next = Some(position + 1);
                self.waiting.pop_first().map(|(_, (item, _))| Ordered::Next(item))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "one reading of the clock is the origin of the virtual time"
    )]

    use proptest::prelude::*;

    use super::*;

    fn drain(buffer: &mut ReorderBuffer<u64>, now: Instant) -> Vec<Ordered<u64>> {
        std::iter::from_fn(|| buffer.pop(now)).collect()
    }

    #[test]
    fn waits_for_what_is_missing_and_gives_it_up_in_time() {
        let start = Instant::now();
        let mut buffer = ReorderBuffer::default();
        for position in [10, 12, 13] {
            assert!(buffer.push(position, position, start));
        }
        assert_eq!(drain(&mut buffer, start), [Ordered::Next(10)]);
        assert!(!buffer.push(12, 12, start), "twice");
        assert_eq!(drain(&mut buffer, start + PATIENCE / 2), []);
        assert!(buffer.push(11, 11, start + PATIENCE / 2));
        assert_eq!(drain(&mut buffer, start + PATIENCE / 2), [11, 12, 13].map(Ordered::Next));
        assert!(buffer.push(16, 16, start + PATIENCE));
        assert_eq!(drain(&mut buffer, start + PATIENCE * 2), [Ordered::Gap(2), Ordered::Next(16)]);
        assert!(!buffer.push(14, 14, start + PATIENCE * 2), "too late");
    }

    #[test]
    fn a_new_stream_is_no_loss() {
        let start = Instant::now();
        let mut buffer = ReorderBuffer::default();
        buffer.push(5, 5, start);
        buffer.push(1 << 20, 6, start);
        assert_eq!(
            drain(&mut buffer, start + PATIENCE),
            [Ordered::Next(5), Ordered::Gap(0), Ordered::Next(6)]
        );
    }

    proptest! {
        #[test]
        fn gives_everything_once_and_in_order(order in Just((100_u64..200).collect::<Vec<_>>()).prop_shuffle(), keep in prop::collection::vec(any::<bool>(), 100)) {
            let start = Instant::now();
            let mut buffer = ReorderBuffer::default();
            buffer.push(99, 99, start);
            let kept: Vec<u64> = order.into_iter().filter(|position| keep[usize::try_from(position - 100).unwrap()]).collect();
            let mut out = drain(&mut buffer, start);
            for position in &kept {
                buffer.push(*position, *position, start);
                out.extend(drain(&mut buffer, start));
            }
            out.extend(drain(&mut buffer, start + PATIENCE));
            let mut expected = kept.clone();
            expected.push(99);
            expected.sort_unstable();
            let items: Vec<u64> = out.iter().filter_map(|ordered| match ordered { Ordered::Next(item) => Some(*item), Ordered::Gap(_) => None }).collect();
            let lost: u64 = out.iter().map(|ordered| match ordered { Ordered::Gap(lost) => *lost, Ordered::Next(_) => 0 }).sum();
            prop_assert_eq!(lost + items.len() as u64, expected.last().unwrap() - 99 + 1);
            prop_assert_eq!(items, expected);
        }
    }
}
