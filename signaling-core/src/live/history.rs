//! The latest chat of a room, for newcomers and for sessions that have missed events.

use std::collections::VecDeque;

use crate::PeerId;
use crate::room::ChatLine;

/// The latest messages to everybody, and as many to single peers.
#[derive(Debug)]
pub(super) struct History {
    lines: VecDeque<ChatLine>,
    /// The most messages of either kind.
    most: usize,
    /// The messages to single peers among them.
    private: usize,
}

impl History {
    pub(super) fn new(most: usize, lines: Vec<ChatLine>) -> Self {
        let mut history = Self { lines: VecDeque::new(), most, private: 0 };
        for line in lines {
            history.push(line);
        }
        history
    }

    /// Adds a message, whose id exceeds those of earlier ones.
    pub(super) fn push(&mut self, line: ChatLine) {
        let private = line.to.is_some();
        self.private += usize::from(private);
        self.lines.push_back(line);
        let of_kind = if private { self.private } else { self.lines.len() - self.private };
        if of_kind > self.most
            && let Some(oldest) = self.lines.iter().position(|line| line.to.is_some() == private)
        {
            self.lines.remove(oldest);
            self.private -= usize::from(private);
        }
    }

    /// The messages with ids above `cursor` that are meant for a peer, the oldest first.
    pub(super) fn after(&self, cursor: u64, peer: PeerId) -> impl Iterator<Item = &ChatLine> + use<'_> {
        let missed = self.lines.iter().filter(move |line| line.id > cursor);
        missed.filter(move |line| line.recipients().includes(peer, false, false))
    }

    /// All messages, the oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &ChatLine> {
        self.lines.iter()
    }

    /// The id of the newest message, or 0.
    pub(super) fn newest(&self) -> u64 {
        self.lines.back().map_or(0, |line| line.id)
    }

    /// Frees memory that is not in use.
    pub(super) fn tidy(&mut self) {
        self.lines.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::testing::SeededEntropy;

    #[test]
    fn the_latest_to_all_and_the_latest_to_one_are_kept() {
        let mut entropy = SeededEntropy::new(9);
        let [one, two, three] = [(); 3].map(|()| PeerId::random(&mut entropy));
        let mut history = History::new(3, Vec::new());
        for id in 1..=20 {
            let (text, at) = ("0123456789".into(), Timestamp::default());
            history.push(ChatLine { id, from: one, name: None, text, to: (id % 4 == 0).then_some(two), at });
        }
        let given = |cursor, peer| history.after(cursor, peer).map(|line| line.id).collect::<Vec<_>>();
        assert_eq!(given(0, one), [12, 16, 17, 18, 19, 20]);
        assert_eq!(given(0, three), [17, 18, 19], "what is between two is nobody else's");
        assert_eq!(given(18, two), [19, 20]);
        assert_eq!(history.newest(), 20);
    }
}
