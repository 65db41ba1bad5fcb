//! The log of one room, as nodes see it over a network: every question and every answer may be lost.

use std::sync::{Arc, Mutex};

use signaling_core::room::ChatLine;
use signaling_core::{
    Append, Claim, Epochs, LifeId, LogEvent, LogItem, NodeId, Ownership, RoomId, RoomLog, RoomSnapshot, Step,
};

/// A question of a node to the log.
pub(crate) struct Question {
    pub(crate) node: NodeId,
    pub(crate) attempt: u64,
    pub(crate) asked: Asked,
}

pub(crate) enum Asked {
    Claim(Claim),
    Append { guard: u64, steps: Vec<Step> },
    Ownership,
}

/// A node's access to the log: questions leave by the network of the model.
pub(crate) struct LogEnd {
    pub(crate) node: NodeId,
    pub(crate) questions: Arc<Mutex<Vec<Question>>>,
    /// While there is no network yet, the log answers at once.
    pub(crate) at_once: Arc<Mutex<Option<TheLog>>>,
}

impl LogEnd {
    fn ask(&self, attempt: u64, asked: Asked) -> Option<LogEvent> {
        if let Some(log) = &mut *self.at_once.lock().unwrap() {
            return Some(log.answer(asked));
        }
        self.questions.lock().unwrap().push(Question { node: self.node, attempt, asked });
        None
    }
}

impl RoomLog for LogEnd {
    fn claim(&self, _room: &RoomId, attempt: u64, claim: Claim) -> Option<LogEvent> {
        self.ask(attempt, Asked::Claim(claim))
    }
    fn append(&self, _room: &RoomId, attempt: u64, append: Append<'_>) -> Option<LogEvent> {
        let Append { guard, steps, .. } = append;
        self.ask(attempt, Asked::Append { guard, steps: steps.to_vec() })
    }
    fn ownership(&self, _room: &RoomId, attempt: u64) -> Option<LogEvent> {
        self.ask(attempt, Asked::Ownership)
    }
    fn erase(&self, _room: &RoomId, _life: LifeId) {}
}

/// What the log holds. Like the stream of a real one, it takes an append under the newest ownership alone.
#[derive(Default)]
pub(crate) struct TheLog {
    /// Numbers what was ever appended.
    sequence: u64,
    newest: Option<Ownership>,
    snapshot: RoomSnapshot,
    items: Vec<LogItem>,
    /// Whether an append must name the newest ownership.
    pub(crate) has_fence: bool,
    /// Everything that was ever in the log, also before it was lost.
    pub(crate) ever: Vec<Step>,
    /// The chat of snapshots, some of which was never appended.
    pub(crate) chat: Vec<ChatLine>,
}

impl TheLog {
    pub(crate) fn new(has_fence: bool) -> Self {
        Self { has_fence, ..Self::default() }
    }

    pub(crate) fn answer(&mut self, asked: Asked) -> LogEvent {
        let present = self.newest.map_or(0, |newest| newest.guard);
        match asked {
            Asked::Ownership => LogEvent::Owned(self.newest),
            Asked::Claim(claim) if claim.after != present => LogEvent::Refused(self.newest),
            Asked::Claim(claim) => self.claim(claim),
            Asked::Append { guard, .. } if self.has_fence && guard != present => {
                LogEvent::Refused(self.newest)
            }
            Asked::Append { steps, .. } => {
                self.sequence += 1;
                self.ever.extend(steps.iter().cloned());
                self.items.push(LogItem::Steps(steps));
                LogEvent::Appended
            }
        }
    }

    fn claim(&mut self, claim: Claim) -> LogEvent {
        self.sequence += 1;
        self.newest = Some(Ownership { guard: self.sequence, epoch: claim.epoch, node: claim.node });
        let continues = claim.base.as_ref().is_some_and(|base| base.epochs.newest() == claim.epoch);
        if let Some(base) = claim.base {
            self.chat.extend(base.chat.iter().cloned());
            (self.snapshot, self.items) = (*base, Vec::new());
        }
        let answer = LogEvent::Claimed {
            guard: self.sequence,
            snapshot: Box::new(self.snapshot.clone()),
            items: self.items.clone(),
        };
        if !continues {
            self.items.push(LogItem::Epoch(claim.epoch));
        }
        answer
    }

    /// The log loses all it has.
    pub(crate) fn lose(&mut self) {
        (self.newest, self.snapshot, self.items) = (None, RoomSnapshot::default(), Vec::new());
    }

    /// The ids of what it has at the end.
    pub(crate) fn epochs(&self) -> Epochs {
        let mut epochs = self.snapshot.epochs.clone();
        let mut begun = None;
        for item in &self.items {
            match item {
                LogItem::Epoch(number) => begun = Some(*number),
                LogItem::Steps(steps) => {
                    for entry in steps.iter().flat_map(|step| &step.entries) {
                        if let Some(number) = begun.take() {
                            epochs.begin(number, entry.id);
                        }
                        epochs.extend(entry.id);
                    }
                }
            }
        }
        epochs
    }
}
