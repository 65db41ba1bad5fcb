//! A bounded number of buckets, by key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Bucket, Moment, Rate};

/// The shortest time between two searches for full buckets.
const SEARCH: Duration = Duration::from_secs(1);

/// A bucket for each key. If there are too many, full buckets are forgotten, or else an arbitrary one: the owner of so
/// many keys gains nothing by it.
#[derive(Debug)]
pub struct Buckets<K, T> {
    rate: Rate,
    most: usize,
    table: Mutex<Table<K, T>>,
}

#[derive(Debug)]
struct Table<K, T> {
    buckets: HashMap<K, Bucket<T>>,
    /// When full buckets were last searched for.
    searched_at: Option<T>,
}

impl<K: Clone + Eq + Hash, T: Moment> Buckets<K, T> {
    /// A table for at most `most` keys.
    pub fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, table: Mutex::new(Table { buckets: HashMap::new(), searched_at: None }) }
    }

    /// Takes one token of a key, or returns how long to wait for it.
    pub fn take(&self, now: T, key: K) -> Result<(), Duration> {
        let mut table = self.lock();
        if table.buckets.len() >= self.most && !table.buckets.contains_key(&key) {
            table.make_room(now, self.most);
        }
        table.buckets.entry(key).or_insert_with(|| Bucket::full(now)).take(now, self.rate, 1)
    }

    /// Puts a token back that need not have been taken.
    pub fn give_back(&self, key: &K) {
        if let Some(bucket) = self.lock().buckets.get_mut(key) {
            bucket.give_back(self.rate, 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table<K, T>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, T: Moment> Table<K, T> {
    fn make_room(&mut self, now: T, most: usize) {
        if self.searched_at.is_none_or(|at| now.since(at) >= SEARCH) {
            self.searched_at = Some(now);
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.buckets.len() >= most
            && let Some(any) = self.buckets.keys().next().cloned()
        {
            self.buckets.remove(&any);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "where the time begins does not matter")]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn each_key_has_its_own_allowance() {
        let (buckets, now) = (Buckets::new(Rate::per_second(1, 2), 10), Instant::now());
        assert!(buckets.take(now, "a").is_ok() && buckets.take(now, "a").is_ok());
        assert_eq!(buckets.take(now, "a"), Err(Duration::from_secs(1)));
        assert!(buckets.take(now, "b").is_ok());
        buckets.give_back(&"a");
        assert!(buckets.take(now, "a").is_ok());
    }

    #[test]
    fn what_is_full_again_is_forgotten_first_and_there_are_never_too_many() {
        let (buckets, now) = (Buckets::new(Rate::per_second(1, 2), 3), Instant::now());
        let later = now + Duration::from_secs(10);
        for key in 0..3 {
            buckets.take(if key == 1 { later } else { now }, key).unwrap();
        }
        buckets.take(later, 3).unwrap();
        let mut keys: Vec<u32> = buckets.lock().buckets.keys().copied().collect();
        keys.sort_unstable();
        assert_eq!(keys, [1, 3]);
        for key in 4..100 {
            buckets.take(later, key).unwrap();
        }
        assert_eq!(buckets.lock().buckets.len(), 3);
    }
}
