//! Ended sessions. They are remembered so that their secrets stay invalid after a restart.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// How many sessions a room remembers. To have one forgotten, an attacker must join and leave this often.
const MOST: usize = 4_096;

/// The sessions of a room that have ended, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndedSessions(VecDeque<SessionId>);

impl EndedSessions {
    /// Notes the end of a session.
    pub fn insert(&mut self, session: SessionId) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(session);
    }

    /// Whether the session is known to have ended.
    pub fn contains(&self, session: SessionId) -> bool {
        self.0.contains(&session)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn they_are_bounded_and_the_oldest_go_first() {
        let mut entropy = SeededEntropy::new(4);
        let mut ended = EndedSessions::default();
        let [first, second] = [(); 2].map(|()| SessionId::random(&mut entropy));
        ended.insert(first);
        ended.insert(second);
        for _ in 1..MOST {
            assert!(ended.contains(second));
            ended.insert(SessionId::random(&mut entropy));
        }
        assert!(!ended.contains(first) && ended.contains(second));
        assert_eq!(ended.0.len(), MOST);
    }
}
