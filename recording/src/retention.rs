//! Limits the age and the total size of recordings.

use std::fmt;
use std::time::Duration;

use signaling_core::Timestamp;

use crate::index::{Entry, EntryState};
use crate::upload::Upload;

/// The retention of the recordings in a folder; by default, everything is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long a recording is kept after its end; `None` means forever.
    pub age: Option<Duration>,
    /// Maximum total size of the recordings in the folder, in bytes; `None` means no limit.
    pub bytes: Option<u64>,
}

/// Why a recording is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is older than the maximum age.
    Age,
    /// The total size is exceeded, and this is the oldest recording that may be removed.
    Size,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Age => "age",
            Self::Size => "size",
        })
    }
}

impl Retention {
    /// Whether everything is kept.
    pub fn is_everything(&self) -> bool {
        self.age.is_none() && self.bytes.is_none()
    }

    /// The recordings to remove: those that are too old, and then the oldest available ones until the rest fits.
    /// Recordings that are only in object storage do not count towards the size.
    ///
    /// No recording is too old while the clock is not trusted (`now` is `None`).
    ///
    /// Recordings that are being written or finalised are kept, although their size counts, and the size limit does not
    /// remove recordings whose upload is not confirmed.
    pub fn leaving<'a>(&self, entries: &'a [Entry], now: Option<Timestamp>) -> Vec<(&'a Entry, Cause)> {
        let is_too_old = |entry: &Entry| {
            let is_over = matches!(entry.state, EntryState::Ready | EntryState::Failed);
            is_over && self.age.zip(now).is_some_and(|(age, now)| now.since(ended_at(entry)) > age)
        };
        let (old, mut rest): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| is_too_old(entry));
        let mut leaving: Vec<_> = old.into_iter().map(|entry| (entry, Cause::Age)).collect();
        let Some(bound) = self.bytes else { return leaving };
        rest.retain(|entry| entry.local);
        let mut total: u128 = rest.iter().map(|entry| u128::from(entry.bytes)).sum();
        let is_safe = |entry: &Entry| entry.upload.as_ref().is_none_or(Upload::is_stored);
        rest.retain(|entry| entry.state == EntryState::Ready && is_safe(entry));
        rest.sort_by_key(|entry| (entry.started_at, entry.recording));
        for entry in rest {
            if total <= bound.into() {
                break;
            }
            total -= u128::from(entry.bytes);
            leaving.push((entry, Cause::Size));
        }
        leaving
    }
}

/// The end of a recording; a failed one may lack it.
fn ended_at(entry: &Entry) -> Timestamp {
    entry.ended_at.unwrap_or(entry.started_at + Duration::from_millis(entry.duration_ms))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::testing::entry;

    const HOUR_MS: u64 = 3_600_000;
    const NOW: Timestamp = Timestamp::from_millis(1_000 * HOUR_MS);

    /// A recording that lasted an hour and ended this long ago.
    fn ended(hours_ago: u64, state: EntryState, bytes: u64) -> Entry {
        let ended_at = NOW.as_millis() - hours_ago * HOUR_MS;
        Entry {
            started_at: Timestamp::from_millis(ended_at - HOUR_MS),
            ended_at: Some(Timestamp::from_millis(ended_at)),
            state,
            bytes,
            ..entry(hours_ago)
        }
    }

    fn leaving(retention: Retention, entries: &[Entry]) -> Vec<(u64, Cause)> {
        let hours = |entry: &Entry| NOW.since(entry.ended_at.unwrap()).as_secs() / 3_600;
        retention
            .leaving(entries, Some(NOW))
            .into_iter()
            .map(|(entry, cause)| (hours(entry), cause))
            .collect()
    }

    #[test]
    fn nothing_is_old_by_a_clock_that_nobody_believes() {
        let retention = Retention { age: Some(Duration::from_secs(1)), bytes: Some(1) };
        let entries = [ended(9, EntryState::Ready, 1), ended(8, EntryState::Ready, 1)];
        let leaving = retention.leaving(&entries, None);
        assert_eq!(leaving.iter().map(|(_, cause)| *cause).collect::<Vec<_>>(), [Cause::Size]);
    }

    #[test]
    fn what_is_older_than_the_age_goes() {
        use EntryState::{Failed, Ready};
        let hours = |hours: u64| Retention { age: Some(Duration::from_secs(hours * 3_600)), bytes: None };
        let entries = [ended(1, Ready, 1), ended(5, Failed, 1), ended(6, Ready, 1), ended(7, Failed, 0)];
        assert_eq!(leaving(hours(5), &entries), [(6, Cause::Age), (7, Cause::Age)]);
        assert_eq!(leaving(hours(7), &entries), []);
        assert_eq!(leaving(Retention::default(), &entries), []);
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        use EntryState::{Failed, Ready};
        let bytes = |bytes| Retention { age: None, bytes: Some(bytes) };
        let entries = [ended(1, Ready, 10), ended(3, Ready, 30), ended(2, Ready, 20), ended(4, Failed, 1)];
        assert_eq!(leaving(bytes(61), &entries), []);
        assert_eq!(leaving(bytes(60), &entries), [(3, Cause::Size)]);
        assert_eq!(leaving(bytes(30), &entries), [(3, Cause::Size), (2, Cause::Size)]);
        assert_eq!(leaving(bytes(0), &entries).len(), 3, "what failed stays");
    }

    #[test]
    fn what_went_by_age_no_longer_counts() {
        let entries = [ended(9, EntryState::Ready, 90), ended(1, EntryState::Ready, 10)];
        let retention = Retention { age: Some(Duration::from_secs(3_600)), bytes: Some(10) };
        assert_eq!(leaving(retention, &entries), [(9, Cause::Age)]);
    }

    #[test]
    fn what_is_not_over_stays_though_its_bytes_count() {
        use EntryState::{Finalising, Ready, Recording};
        let entries = [ended(9, Recording, 50), ended(8, Finalising, 50), ended(1, Ready, 10)];
        let retention = Retention { age: Some(Duration::from_secs(7_200)), bytes: Some(100) };
        assert_eq!(leaving(retention, &entries), [(1, Cause::Size)]);
    }

    #[test]
    fn what_the_store_has_not_confirmed_stays_and_what_it_has_alone_takes_no_room() {
        let stored = Upload::Stored { object: "s3://bucket/a".into() };
        let entries = [
            Entry { upload: Some(Upload::Waiting), ..ended(9, EntryState::Ready, 10) },
            Entry { upload: Some(stored.clone()), local: false, ..ended(8, EntryState::Ready, 99) },
            Entry { upload: Some(stored), ..ended(7, EntryState::Ready, 10) },
        ];
        assert_eq!(leaving(Retention { age: None, bytes: Some(20) }, &entries), []);
        assert_eq!(leaving(Retention { age: None, bytes: Some(0) }, &entries), [(7, Cause::Size)]);
        let age = Some(Duration::from_secs(8 * 3_600 - 1));
        let old = [(9, Cause::Age), (8, Cause::Age)];
        assert_eq!(
            leaving(Retention { age, bytes: None }, &entries),
            old,
            "nothing is kept longer than that"
        );
    }

    #[test]
    fn a_recording_from_the_future_is_not_old() {
        let entry = Entry { ended_at: Some(NOW + Duration::from_secs(60)), ..ended(1, EntryState::Ready, 1) };
        let retention = Retention { age: Some(Duration::ZERO), bytes: None };
        assert_eq!(retention.leaving(&[entry], Some(NOW)), []);
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        use EntryState::{Failed, Finalising, Ready, Recording};
        let state = prop::sample::select(vec![Recording, Finalising, Ready, Failed]);
        let one = (0_u64..100, state, prop_oneof![0_u64..100, Just(u64::MAX)]);
        prop::collection::vec(one, 0..24).prop_map(|all| {
            let named = |(n, (hours, state, bytes))| Entry {
                recording: entry(n).recording,
                ..ended(hours, state, bytes)
            };
            (0..).zip(all).map(named).collect()
        })
    }

    proptest! {
        #[test]
        fn as_little_goes_as_must(
            entries in entries(),
            hours in prop::option::of(0_u64..100),
            bytes in prop::option::of(0_u64..1_000),
        ) {
            let age = hours.map(|hours| Duration::from_secs(hours * 3_600));
            let retention = Retention { age, bytes };
            let leaving = retention.leaving(&entries, Some(NOW));
            let goes = |entry: &Entry| leaving.iter().any(|(gone, _)| gone.recording == entry.recording);
            let staying: Vec<_> = entries.iter().filter(|entry| !goes(entry)).collect();
            prop_assert_eq!(leaving.len() + staying.len(), entries.len(), "each once");
            let is_old = |entry: &Entry| age.is_some_and(|age| NOW.since(entry.ended_at.unwrap()) > age);
            let sum = |entries: &[&Entry]| entries.iter().map(|entry| u128::from(entry.bytes)).sum::<u128>();

            for (entry, cause) in &leaving {
                match cause {
                    Cause::Age => {
                        prop_assert!(is_old(entry));
                        prop_assert!(matches!(entry.state, EntryState::Ready | EntryState::Failed));
                    }
                    Cause::Size => prop_assert_eq!(entry.state, EntryState::Ready),
                }
            }
            for entry in &staying {
                let is_over = matches!(entry.state, EntryState::Ready | EntryState::Failed);
                prop_assert!(!(is_over && is_old(entry)));
            }
            let by_size: Vec<_> =
                leaving.iter().filter(|(_, cause)| *cause == Cause::Size).map(|(entry, _)| *entry).collect();
            let ready: Vec<_> =
                staying.iter().filter(|entry| entry.state == EntryState::Ready).collect();
            if let Some(newest) = by_size.last() {
                let bound = u128::from(bytes.unwrap());
                prop_assert!(ready.iter().all(|entry| entry.started_at >= newest.started_at));
                prop_assert!(sum(&staying) + u128::from(newest.bytes) > bound, "the last of them had to go");
            }
            if let Some(bound) = bytes {
                prop_assert!(sum(&staying) <= bound.into() || ready.is_empty());
            }
        }
    }
}
