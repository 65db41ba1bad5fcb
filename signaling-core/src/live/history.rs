//! The latest chat of a room, for newcomers and for sessions that have missed events.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::room::{ChatLine, Recipients};
use crate::{Frame, JsonCodec, PeerId};

/// The latest messages to everybody, and as many to single peers.
///
/// It keeps the frames that the log has, and that the outboxes of newcomers get: no session costs a copy.
#[derive(Debug)]
pub(super) struct History {
    public: VecDeque<Arc<Frame>>,
    /// With the two peers of each.
    private: VecDeque<(Recipients, Arc<Frame>)>,
    /// The most messages of either kind.
    most: usize,
}

impl History {
    pub(super) fn new(most: usize, codec: &JsonCodec, lines: &[ChatLine]) -> Self {
        let mut history = Self { public: VecDeque::new(), private: VecDeque::new(), most };
        for line in lines {
            let frame = codec.encode_event(line.id, &line.event());
            history.push(line.recipients(), Arc::new(frame));
        }
        history
    }

    /// Adds the event of a message, whose id exceeds those of earlier ones.
    pub(super) fn push(&mut self, recipients: Recipients, frame: Arc<Frame>) {
        if matches!(recipients, Recipients::Pair(..)) {
            push_bounded(&mut self.private, (recipients, frame), self.most);
        } else {
            push_bounded(&mut self.public, frame, self.most);
        }
    }

    /// The ids and events of the messages above `cursor` that are meant for a peer, the oldest first.
    pub(super) fn after(&self, cursor: u64, peer: PeerId) -> impl Iterator<Item = (u64, &Arc<Frame>)> {
        let private = self.private.iter().filter(move |(pair, _)| pair.includes(peer, false, false));
        let given = self.public.iter().chain(private.map(|(_, frame)| frame));
        let newer = given.filter(move |frame| frame.id > Some(cursor));
        by_id(newer).filter_map(|frame| Some((frame.id?, frame)))
    }

    /// All messages, the oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = ChatLine> {
        let frames = self.public.iter().chain(self.private.iter().map(|(_, frame)| frame));
        // The event has the fields of the message, and its type.
        by_id(frames).filter_map(|frame| serde_json::from_slice(&frame.json).ok())
    }

    /// The id of the newest message, or 0.
    pub(super) fn newest(&self) -> u64 {
        let (public, private) = (self.public.back(), self.private.back().map(|(_, frame)| frame));
        public.into_iter().chain(private).filter_map(|frame| frame.id).max().unwrap_or_default()
    }

    /// Frees memory that is not in use.
    pub(super) fn tidy(&mut self) {
        self.public.shrink_to_fit();
        self.private.shrink_to_fit();
    }
}

/// Adds an item, and drops the oldest when there are more than `most`.
fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    queue.push_back(item);
    if queue.len() > most {
        queue.pop_front();
    }
}

/// The frames in the order of their ids.
fn by_id<'a>(frames: impl Iterator<Item = &'a Arc<Frame>>) -> impl Iterator<Item = &'a Arc<Frame>> {
    let mut frames: Vec<_> = frames.collect();
    frames.sort_by_key(|frame| frame.id);
    frames.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::message::Name;
    use crate::testing::SeededEntropy;

    fn lines(peers: [PeerId; 2], ids: std::ops::RangeInclusive<u64>) -> Vec<ChatLine> {
        let [from, to] = peers;
        let line = |id: u64| {
            let (text, at) = (format!("\"{id}\" \u{1f600}").into(), Timestamp::from_millis(id));
            let name = id.is_multiple_of(3).then(|| Name::parse("Ada").unwrap());
            ChatLine { id, from, name, text, to: id.is_multiple_of(4).then_some(to), at }
        };
        ids.map(line).collect()
    }

    #[test]
    fn the_latest_to_all_and_the_latest_to_one_are_kept() {
        let mut entropy = SeededEntropy::new(9);
        let [one, two, three] = [(); 3].map(|()| PeerId::random(&mut entropy));
        let history = History::new(3, &JsonCodec::default(), &lines([one, two], 1..=20));
        let given = |cursor, peer| history.after(cursor, peer).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(given(0, one), [12, 16, 17, 18, 19, 20]);
        assert_eq!(given(0, three), [17, 18, 19], "what is between two is nobody else's");
        assert_eq!(given(18, two), [19, 20]);
        assert_eq!(history.newest(), 20);
    }

    #[test]
    fn messages_are_read_back_from_their_events() {
        let mut entropy = SeededEntropy::new(9);
        let written = lines([(); 2].map(|()| PeerId::random(&mut entropy)), 1..=20);
        let history = History::new(20, &JsonCodec::default(), &written);
        assert_eq!(history.lines().collect::<Vec<_>>(), written);
    }
}
