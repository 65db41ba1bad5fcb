//! When which room is woken.

use std::collections::{BTreeSet, HashMap};

use crate::{RoomId, Timestamp};

/// At most one time for each room, in the order of the times.
#[derive(Debug, Default)]
pub(super) struct Wakeups {
    in_order: BTreeSet<(Timestamp, RoomId)>,
    by_room: HashMap<RoomId, Timestamp>,
}

impl Wakeups {
    /// The earliest time.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.in_order.first().map(|(at, _)| *at)
    }

    /// The time of a room.
    pub(super) fn of(&self, room: &RoomId) -> Option<Timestamp> {
        self.by_room.get(room).copied()
    }

    /// Sets or removes the time of a room.
    pub(super) fn set(&mut self, room: &RoomId, at: Option<Timestamp>) {
        if self.of(room) == at {
            return;
        }
        if let Some(former) = self.by_room.remove(room) {
            self.in_order.remove(&(former, room.clone()));
        }
        if let Some(at) = at {
            self.in_order.insert((at, room.clone()));
            self.by_room.insert(room.clone(), at);
        }
    }

    /// Removes the rooms that are due, the earliest first.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<RoomId> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now)
            && let Some((_, room)) = self.in_order.pop_first()
        {
            self.by_room.remove(&room);
            due.push(room);
        }
        due
    }
}
