//! The fates of one session's numbered messages.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Frame;
use crate::numbers::NumberSet;

/// How many answers are kept verbatim.
const KEPT_ANSWERS: usize = 64;

/// Which `seq` numbers of a session were used, and with what result.
///
/// A number is used when its message has taken effect or was refused for good. A number that was skipped, or refused
/// for its rate, is unused and may still come. So no message is acknowledged that had no effect.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// The greatest used number.
    last: Option<u64>,
    /// Unused numbers below it.
    unused: NumberSet,
    /// Numbers of messages that were refused for good.
    refused: NumberSet,
    /// The newest answers that say more than that the message has taken effect.
    answers: VecDeque<(u64, Arc<Frame>)>,
}

/// The fate of a number.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The number is unused.
    Unused,
    /// Its message got this answer.
    Answered(Arc<Frame>),
    /// Its message has taken effect.
    Accepted,
    /// Its message was refused, or its fate is no longer known.
    Lost,
}

impl Sequence {
    /// The sequence of a session that returns after a restart: all numbers up to `last` are used.
    pub(crate) fn up_to(last: u64) -> Self {
        Self { last: Some(last), ..Self::default() }
    }

    /// The greatest used number, or 0 if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.last.unwrap_or_default()
    }

    /// The greatest used number.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.last
    }

    /// The fate of a number.
    pub(crate) fn fate(&self, seq: u64) -> Fate {
        if self.last.is_none_or(|last| seq > last) || self.unused.contains(seq) {
            return Fate::Unused;
        }
        if let Some((_, answer)) = self.answers.iter().find(|(of, _)| *of == seq) {
            return Fate::Answered(Arc::clone(answer));
        }
        let is_lost =
            self.refused.contains(seq) || self.refused.has_dropped(seq) || self.unused.has_dropped(seq);
        if is_lost { Fate::Lost } else { Fate::Accepted }
    }

    /// Marks the number as used: its message has taken effect, and the answer says no more than that.
    pub(crate) fn accept(&mut self, seq: u64) {
        if self.last.is_some_and(|last| seq <= last) {
            return self.unused.remove(seq);
        }
        let next = self.last.map_or(0, |last| last + 1);
        if next < seq {
            self.unused.insert(next, seq - 1);
        }
        self.last = Some(seq);
    }

    /// Marks the number as used: its message has taken effect, and the answer says more than that.
    pub(crate) fn answer(&mut self, seq: u64, answer: &Arc<Frame>) {
        self.accept(seq);
        self.answers.push_back((seq, Arc::clone(answer)));
        if self.answers.len() > KEPT_ANSWERS {
            self.answers.pop_front();
        }
    }

    /// Marks the number as used: its message was refused.
    pub(crate) fn refuse(&mut self, seq: u64, answer: &Arc<Frame>) {
        self.answer(seq, answer);
        if !self.refused.contains(seq) {
            self.refused.insert(seq, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Arc<Frame> {
        Arc::new(Frame { id: None, json: "{}".into() })
    }

    #[test]
    fn numbers_that_were_passed_over_are_unused() {
        let mut sequence = Sequence::default();
        assert!(matches!(sequence.fate(0), Fate::Unused), "who begins with 0");
        sequence.accept(5);
        sequence.accept(9);
        sequence.accept(7);
        for seq in [0, 1, 4, 6, 8, 10, u64::MAX] {
            assert!(matches!(sequence.fate(seq), Fate::Unused), "{seq}");
        }
        for seq in [5, 7, 9] {
            assert!(matches!(sequence.fate(seq), Fate::Accepted), "{seq}");
        }
        sequence.accept(u64::MAX);
        assert_eq!(sequence.last(), u64::MAX);
    }

    #[test]
    fn a_refusal_is_never_taken_for_an_effect() {
        let mut sequence = Sequence::default();
        for seq in 1..=1_000 {
            sequence.refuse(seq, &refusal());
        }
        sequence.accept(1_001);
        assert!(matches!(sequence.fate(1_000), Fate::Answered(_)));
        assert!(matches!(sequence.fate(1), Fate::Lost));
        assert!(matches!(sequence.fate(1_001), Fate::Accepted));
    }

    #[test]
    fn what_is_no_longer_known_is_lost() {
        let mut sequence = Sequence::default();
        for seq in 1..=1_000 {
            sequence.accept(seq * 10);
        }
        assert!(matches!(sequence.fate(15), Fate::Lost) && matches!(sequence.fate(10), Fate::Lost));
        assert!(
            matches!(sequence.fate(10_000), Fate::Accepted) && matches!(sequence.fate(9_995), Fate::Unused)
        );
    }
}
