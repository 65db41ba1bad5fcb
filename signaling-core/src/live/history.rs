//! The latest chat of a room, for newcomers and for sessions that have missed events.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::room::Audience;
use crate::{Frame, PeerId};

/// The latest messages to everybody, and as many to single peers.
#[derive(Debug)]
pub(super) struct History {
    messages: VecDeque<Message>,
    /// The most messages of either kind.
    most: usize,
    /// The messages to single peers among them.
    private: usize,
}

#[derive(Debug)]
struct Message {
    id: u64,
    frame: Arc<Frame>,
    audience: Audience,
}

impl Message {
    fn is_private(&self) -> bool {
        self.audience != Audience::Everyone
    }
}

impl History {
    pub(super) fn new(most: usize) -> Self {
        Self { messages: VecDeque::new(), most, private: 0 }
    }

    /// Adds a message, whose id exceeds those of earlier ones.
    pub(super) fn push(&mut self, id: u64, frame: Arc<Frame>, audience: Audience) {
        let message = Message { id, frame, audience };
        let private = message.is_private();
        self.private += usize::from(private);
        self.messages.push_back(message);
        let of_kind = if private { self.private } else { self.messages.len() - self.private };
        if of_kind > self.most
            && let Some(oldest) = self.messages.iter().position(|message| message.is_private() == private)
        {
            self.messages.remove(oldest);
            self.private -= usize::from(private);
        }
    }

    /// The messages with ids above `cursor` that are meant for a peer, the oldest first.
    pub(super) fn after(
        &self,
        cursor: u64,
        peer: PeerId,
    ) -> impl Iterator<Item = (u64, Arc<Frame>)> + use<'_> {
        let missed = self.messages.iter().filter(move |message| message.id > cursor);
        let meant = missed.filter(move |message| message.audience.includes(peer, false, false));
        meant.map(|message| (message.id, Arc::clone(&message.frame)))
    }

    /// The id of the newest message, or 0.
    pub(super) fn newest(&self) -> u64 {
        self.messages.back().map_or(0, |message| message.id)
    }

    /// Frees memory that is not in use.
    pub(super) fn tidy(&mut self) {
        self.messages.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn the_latest_to_all_and_the_latest_to_one_are_kept() {
        let mut entropy = SeededEntropy::new(9);
        let [one, two, three] = [(); 3].map(|()| PeerId::random(&mut entropy));
        let mut history = History::new(3);
        for id in 1..=20 {
            let frame = Arc::new(Frame { id: Some(id), json: "0123456789".into() });
            let audience = if id % 4 == 0 { Audience::Pair(one, two) } else { Audience::Everyone };
            history.push(id, frame, audience);
        }
        let given = |cursor, peer| history.after(cursor, peer).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(given(0, one), [12, 16, 17, 18, 19, 20]);
        assert_eq!(given(0, three), [17, 18, 19], "what is between two is nobody else's");
        assert_eq!(given(18, two), [19, 20]);
        assert_eq!(history.newest(), 20);
    }
}
