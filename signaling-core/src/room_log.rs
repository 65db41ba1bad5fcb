//! The log of a room outside the process: what it keeps, and who may append to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::room::{ChatLine, Entry, Fact, RoomState};
use crate::{Epochs, LifeId, PeerId, RoomId, SessionId};

/// What one decision adds to a room's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The client's message that led to it, if that had a number: sent again, it has no second effect.
    pub input: Option<Input>,
    /// What happened, in order. Empty if the message changed nothing.
    pub entries: Vec<Entry>,
}

/// The number of a client's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    /// The peer that sent it.
    pub peer: PeerId,
    /// Its session.
    pub session: SessionId,
    /// Its `seq`.
    pub seq: u64,
}

impl Step {
    /// Whether it ends the session of this peer, or the room.
    pub(crate) fn closes(&self, peer: Option<PeerId>) -> bool {
        self.entries.iter().any(|entry| match &entry.fact {
            Fact::Left { peer: gone, .. } => peer == Some(*gone),
            Fact::Ended { .. } => true,
            _ => false,
        })
    }

    /// The chat in it.
    pub fn chat(&self) -> impl Iterator<Item = LogRecord> {
        self.entries.iter().filter_map(|entry| match &entry.fact {
            Fact::Chatted(line) => Some(LogRecord {
                line: line.clone(),
                session: self.input.map(|input| input.session),
                seq: self.input.map(|input| input.seq),
            }),
            _ => None,
        })
    }
}

/// A chat message in the log of a room, and the message of a client that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// The message, with the id of its entry.
    pub line: ChatLine,
    /// The session that sent it, if the client's message had a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// That number: sent again, the message has no second effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// What a [`RoomLog`] has kept of one life of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLog {
    /// The latest messages, the oldest first.
    pub records: Vec<LogRecord>,
    /// The greatest `seq` of each session, also of those whose messages are no longer among the latest.
    pub sequences: BTreeMap<SessionId, u64>,
}

impl KeptLog {
    /// Adds a record.
    pub fn push(&mut self, record: LogRecord) {
        if let (Some(session), Some(seq)) = (record.session, record.seq) {
            let last = self.sequences.entry(session).or_default();
            *last = seq.max(*last);
        }
        self.records.push(record);
    }

    /// Drops the oldest records beyond the latest `most` to everybody, and as many to single peers.
    pub fn trim(&mut self, most: usize) {
        let (mut to_all, mut to_one) = (0, 0);
        self.records.reverse();
        self.records.retain(|record| {
            let kept = if record.line.to.is_none() { &mut to_all } else { &mut to_one };
            *kept += 1;
            *kept <= most
        });
        self.records.reverse();
    }
}

/// A process that may own rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

/// The newest statement in a log of who owns the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// What an append or the next claim must name: it is refused once there is a newer ownership.
    pub guard: u64,
    /// The epoch that began with it.
    pub epoch: u64,
    /// The owner.
    pub node: NodeId,
}

/// All that a node has to know to serve a room, or to go on with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoomSnapshot {
    /// The room. A log that keeps chat alone has none.
    pub state: Option<Box<RoomState>>,
    /// The latest chat, the oldest first.
    pub chat: Vec<ChatLine>,
    /// The greatest `seq` of each session whose message is in the log.
    pub sequences: BTreeMap<SessionId, u64>,
    /// Which ids are in the log.
    pub epochs: Epochs,
}

/// The most bytes in a part of a snapshot: a room of thousands does not fit into one message of a link or a log.
const PART: usize = 256 << 10;

impl RoomSnapshot {
    /// The snapshot in parts of at most 256 KiB.
    pub fn to_parts(&self) -> serde_json::Result<Vec<Vec<u8>>> {
        Ok(serde_json::to_vec(self)?.chunks(PART).map(<[u8]>::to_vec).collect())
    }

    /// The snapshot of which these are all the parts, in order.
    pub fn from_parts<P: AsRef<[u8]>>(parts: &[P]) -> serde_json::Result<Self> {
        let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
        serde_json::from_slice(&parts.concat())
    }

    /// Counts these messages among those that have taken effect.
    pub(crate) fn with(mut self, inputs: impl Iterator<Item = Input>) -> Self {
        for Input { session, seq, .. } in inputs {
            let last = self.sequences.entry(session).or_default();
            *last = seq.max(*last);
        }
        self
    }
}

impl From<KeptLog> for RoomSnapshot {
    fn from(kept: KeptLog) -> Self {
        let chat = kept.records.into_iter().map(|record| record.line).collect();
        Self { chat, sequences: kept.sequences, ..Self::default() }
    }
}

/// A request to own a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The life of the room.
    pub life: LifeId,
    /// The guard of the ownership before; 0 if the log must be empty.
    pub after: u64,
    /// The epoch that begins.
    pub epoch: u64,
    /// The new owner.
    pub node: NodeId,
    /// Where the room begins, if the log is empty.
    pub base: Option<Box<RoomSnapshot>>,
}

/// What an owner appends to the log of a room.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// The life of the room.
    pub life: LifeId,
    /// The guard of its ownership.
    pub guard: u64,
    /// The epoch of its ownership.
    pub epoch: u64,
    /// What has been decided, in order.
    pub steps: &'a [Step],
}

/// What a log holds after its snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    /// An epoch begins, and leaves a hole of ids.
    Epoch(u64),
    /// What the owner of that time appended. What was appended twice stands here twice.
    Steps(Vec<Step>),
}

/// The answer of a log.
#[derive(Clone, Debug, PartialEq)]
pub enum LogEvent {
    /// The room is the claimant's.
    Claimed {
        /// What its appends must name.
        guard: u64,
        /// What the log has of the room.
        snapshot: Box<RoomSnapshot>,
        /// What follows the snapshot, up to the claim and without it.
        items: Vec<LogItem>,
    },
    /// The append is in the log.
    Appended,
    /// The append or the claim is not in the log, and never will be: this is the newest ownership.
    Refused(Option<Ownership>),
    /// The answer to [`RoomLog::ownership`].
    Owned(Option<Ownership>),
}

/// Keeps what was decided in rooms. It takes what the newest owner appends and from nobody else, so at any time at most one
/// node decides for a room. What it has is told again to those who have not seen it, by the next process too.
///
/// A log that answers at once returns its answer; another one returns `None`, and the driver passes the answer to
/// [`Shard::handle_log`](crate::Shard::handle_log) with the number of the attempt, or never, if the question or the answer
/// is lost.
pub trait RoomLog: Send + Sync {
    /// Makes a node the owner of a room, if nobody has become so since the ownership that the claim names.
    fn claim(&self, room: &RoomId, attempt: u64, claim: Claim) -> Option<LogEvent>;
    /// Appends to the log of a room, before any peer learns of it. An implementation that cannot write and never will
    /// reports that itself: the call goes on.
    fn append(&self, room: &RoomId, attempt: u64, append: Append<'_>) -> Option<LogEvent>;
    /// Looks up who owns a room.
    fn ownership(&self, room: &RoomId, attempt: u64) -> Option<LogEvent>;
    /// Erases all of a life that is over.
    fn erase(&self, room: &RoomId, life: LifeId);
}

/// Keeps nothing: the chat of a room ends with the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRoomLog;

impl RoomLog for NoRoomLog {
    fn claim(&self, _room: &RoomId, _attempt: u64, _claim: Claim) -> Option<LogEvent> {
        Some(LogEvent::alone(KeptLog::default()))
    }
    fn append(&self, _room: &RoomId, _attempt: u64, _append: Append<'_>) -> Option<LogEvent> {
        Some(LogEvent::Appended)
    }
    fn ownership(&self, _room: &RoomId, _attempt: u64) -> Option<LogEvent> {
        Some(LogEvent::Owned(None))
    }
    fn erase(&self, _room: &RoomId, _life: LifeId) {}
}

impl LogEvent {
    /// The answer to a claim by the only process that ever claims.
    pub fn alone(kept: KeptLog) -> Self {
        Self::Claimed { guard: 0, snapshot: Box::new(kept.into()), items: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::testing::SeededEntropy;

    #[test]
    fn a_large_snapshot_is_read_back_from_its_parts() {
        let mut entropy = SeededEntropy::new(4);
        let line = |id| {
            let from = PeerId::random(&mut entropy);
            ChatLine {
                id,
                from,
                name: None,
                text: "x".repeat(9_000).into(),
                to: None,
                at: Timestamp::default(),
            }
        };
        let mut snapshot = RoomSnapshot { chat: (1..=100).map(line).collect(), ..RoomSnapshot::default() };
        snapshot.epochs.begin(3, 1);
        let mut parts = snapshot.to_parts().unwrap();
        assert!(parts.len() == 4 && parts.iter().all(|part| part.len() <= PART));
        assert_eq!(RoomSnapshot::from_parts(&parts).unwrap(), snapshot);
        parts.swap(0, 1);
        assert!(RoomSnapshot::from_parts(&parts).is_err());
    }
}
