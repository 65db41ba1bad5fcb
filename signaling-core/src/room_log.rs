//! The part of a room's log that outlives the process: its latest chat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::room::ChatLine;
use crate::{LifeId, SessionId};

/// A chat message in the log of a room, and the message of a client that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// The message, with the id of its entry.
    pub line: ChatLine,
    /// The session that sent it.
    pub session: SessionId,
    /// The `seq` of the client's message, if it had one: sent again, the message has no second effect.
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
        if let Some(seq) = record.seq {
            let last = self.sequences.entry(record.session).or_default();
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

/// Keeps the latest chat of rooms. What it has written before a message is acknowledged is given again to those who have
/// not seen it, by the next process too.
pub trait RoomLog: Send {
    /// Writes a record, before any peer learns of the message. An implementation that cannot write reports that itself:
    /// the call goes on.
    fn append(&mut self, life: LifeId, record: &LogRecord);
    /// What was written of a life of a room.
    fn read(&mut self, life: LifeId) -> KeptLog;
    /// Erases all of a life that is over.
    fn erase(&mut self, life: LifeId);
}

/// Keeps nothing: the chat of a room ends with the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRoomLog;

impl RoomLog for NoRoomLog {
    fn append(&mut self, _life: LifeId, _record: &LogRecord) {}
    fn read(&mut self, _life: LifeId) -> KeptLog {
        KeptLog::default()
    }
    fn erase(&mut self, _life: LifeId) {}
}
