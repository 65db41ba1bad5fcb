//! The steps of a connection from its description to the first picture, for whoever traces them.
//!
//! Each is reached once in the life of a connection, so nothing of it is on the path of packets: the first picture to a
//! subscriber is noted where a stream is entered, and reported with the next report of the connection.

use std::fmt::Debug;
use std::time::Instant;

use signaling_core::{PeerId, RoomId};

use crate::time::Micros;

/// Learns of milestones. It is called on the thread that forwards media, so it must not block.
pub trait MilestoneObserver: Debug + Send + Sync {
    /// A connection of the peer has reached a milestone.
    fn reached(&self, room: &RoomId, peer: PeerId, milestone: Milestone);
}

/// A step that a connection has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// The step.
    pub step: Step,
    /// Whether the connection is the one by which the peer publishes.
    pub publishes: bool,
    /// When the steps before it were complete.
    pub from: Instant,
    /// When it was complete.
    pub at: Instant,
}

/// The steps of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Both descriptions are known. It begins with the first one.
    Negotiated,
    /// A connectivity check was valid.
    PathFound,
    /// DTLS has agreed on keys.
    Secured,
    /// The first packet of video was received from a publisher, or the first picture was sent to a subscriber.
    FirstPicture,
}

/// Which steps a connection has completed, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Milestones {
    opened: Micros,
    /// By [`Step`]; [`Micros::NEVER`] for those to come.
    at: [Micros; 4],
}

impl Milestones {
    pub(crate) fn new(opened: Micros) -> Self {
        Self { opened, at: [Micros::NEVER; 4] }
    }

    /// Whether the step is complete.
    pub(crate) fn has(&self, step: Step) -> bool {
        self.at.get(step as usize).is_some_and(|at| *at != Micros::NEVER)
    }

    /// Records that a step is complete. Returns when the steps before it were; `None` if it was complete already.
    ///
    /// A check may arrive before the answer that it belongs to.
    pub(crate) fn complete(&mut self, step: Step, at: Micros) -> Option<Micros> {
        if self.has(step) {
            return None;
        }
        let before = self.at.iter().take(step as usize).filter(|before| **before <= at);
        let from = before.copied().fold(self.opened, Micros::max);
        *self.at.get_mut(step as usize)? = at;
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_begins_where_those_before_it_ended_and_is_told_once() {
        let mut milestones = Milestones::new(Micros(10));
        // The check has overtaken the answer.
        assert_eq!(milestones.complete(Step::PathFound, Micros(20)), Some(Micros(10)));
        assert_eq!(milestones.complete(Step::Negotiated, Micros(30)), Some(Micros(10)));
        assert_eq!(milestones.complete(Step::PathFound, Micros(40)), None);
        assert_eq!(milestones.complete(Step::Secured, Micros(50)), Some(Micros(30)));
        assert!(!milestones.has(Step::FirstPicture));
        assert_eq!(milestones.complete(Step::FirstPicture, Micros(60)), Some(Micros(50)));
        assert!(milestones.has(Step::FirstPicture));
    }
}
