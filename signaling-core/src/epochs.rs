//! Which ids a room's events can have.

use serde::{Deserialize, Serialize};

/// How many epochs are remembered; a log does not reach back to earlier ones.
const KEPT: usize = 64;

/// The epochs of a room, with the ids of each.
///
/// An epoch is the time during which one owner decides for a room. Between two of them lies a hole of ids that the former
/// owner may have given without writing them to the log: a cursor in it belongs to a client that has seen events which
/// never came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epochs(Vec<Epoch>);

/// One epoch, with its first and its newest id. Before its first event, `last` is `first - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Epoch {
    number: u64,
    first: u64,
    last: u64,
}

impl Epochs {
    /// Begins an epoch whose ids start here.
    pub fn begin(&mut self, number: u64, first: u64) {
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push(Epoch { number, first, last: first.saturating_sub(1) });
    }

    /// Notes the newest id.
    pub fn extend(&mut self, id: u64) {
        if let Some(newest) = self.0.last_mut() {
            newest.last = id;
        }
    }

    /// Whether a client may have seen every event up to this id and no other.
    pub fn has(&self, cursor: u64) -> bool {
        self.0.iter().rev().any(|epoch| epoch.first.saturating_sub(1) <= cursor && cursor <= epoch.last)
    }

    /// Whether there has been no epoch.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the newest epoch; 0 before the first one.
    pub fn newest(&self) -> u64 {
        self.0.last().map_or(0, |epoch| epoch.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_in_a_hole_has_seen_what_never_came_to_be() {
        let mut epochs = Epochs::default();
        assert!(!epochs.has(0));
        epochs.begin(1, 100);
        assert!(epochs.has(99) && !epochs.has(100), "nothing has happened yet");
        epochs.extend(120);
        epochs.begin(2, 1_000);
        epochs.extend(1_005);
        for good in [99, 100, 120, 999, 1_000, 1_005] {
            assert!(epochs.has(good), "{good}");
        }
        for bad in [98, 121, 998, 1_006] {
            assert!(!epochs.has(bad), "{bad}");
        }
        assert_eq!(epochs.newest(), 2);
    }
}
