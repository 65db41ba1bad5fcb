//! The replay window, which accepts each packet index once (RFC 3711 section 3.3.2).

const WORDS: usize = 16;
const BITS: u64 = WORDS as u64 * 64;

/// Remembers the last 1,024 indices; older ones count as seen.
#[derive(Default)]
pub(super) struct ReplayWindow {
    /// One more than the highest index seen; 0 before the first.
    end: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// Whether `index` may still be accepted.
    pub(super) fn is_new(&self, index: u64) -> bool {
        if index >= self.end {
            return true;
        }
        self.end - index <= BITS && self.word(index).is_none_or(|word| word & bit(index) == 0)
    }

    /// Marks `index` as seen. To be called after authentication.
    pub(super) fn insert(&mut self, index: u64) {
        if index >= self.end {
            // The indices that the window now includes have not been seen yet.
            let first_new = self.end.max((index + 1).saturating_sub(BITS));
            for passed in first_new..=index {
                if let Some(word) = self.word_mut(passed) {
                    *word &= !bit(passed);
                }
            }
            self.end = index + 1;
        }
        if let Some(word) = self.word_mut(index) {
            *word |= bit(index);
        }
    }

    fn word(&self, index: u64) -> Option<u64> {
        self.seen.get(slot(index)).copied()
    }

    fn word_mut(&mut self, index: u64) -> Option<&mut u64> {
        self.seen.get_mut(slot(index))
    }
}

fn slot(index: u64) -> usize {
    usize::try_from(index / 64 % WORDS as u64).unwrap_or(0)
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_passes_once() {
        let mut window = ReplayWindow::default();
        for index in [5, 3, 900, 4, 1_030] {
            assert!(window.is_new(index), "{index}");
            window.insert(index);
            assert!(!window.is_new(index), "{index}");
        }
        assert!(!window.is_new(5), "left the window");
        assert!(window.is_new(1_029));
        assert!(window.is_new(7), "1,024 back is still inside");
        assert!(!window.is_new(6));
    }

    #[test]
    fn a_long_jump_forgets_everything_before() {
        let mut window = ReplayWindow::default();
        window.insert(10);
        window.insert(1_000_000);
        assert!(!window.is_new(10));
        assert!(window.is_new(999_999));
        assert!(window.is_new(1_000_000 - 1_023));
        assert!(!window.is_new(1_000_000 - 1_024));
    }

    #[test]
    fn agrees_with_a_set_on_shuffled_input() {
        let mut window = ReplayWindow::default();
        let mut seen = std::collections::HashSet::new();
        let (mut state, mut base) = (7_u64, 0_u64);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = base + (state >> 33) % 600;
            assert_eq!(window.is_new(index), !seen.contains(&index));
            window.insert(index);
            seen.insert(index);
            base += (state >> 20) % 2;
        }
    }
}
