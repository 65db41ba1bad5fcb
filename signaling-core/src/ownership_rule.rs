//! The rules by which several nodes serve one room, so that tests can switch one off and see that it is needed.

#[cfg(feature = "broken-rules")]
use std::cell::Cell;

/// A rule of `docs/decisions/0014-a-room-can-move.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnershipRule {
    /// The log takes appends of its newest owner alone.
    Fence,
    /// An append without an answer is sent again.
    Repeat,
    /// Epochs are separated by a hole of ids.
    Hole,
    /// A cursor is judged by the bounds of epochs.
    Bounds,
    /// A cursor from the future makes an owner look whether it still is one.
    Future,
    /// When a copy is replaced, every cursor is judged before any session is served.
    Judge,
    /// Messages that were passed on and not answered go to the next owner, ahead of newer ones.
    PassOn,
    /// A message is acknowledged when the log has what it led to.
    Ack,
    /// Only the owner lets a session time out.
    Author,
}

#[cfg(feature = "broken-rules")]
thread_local! {
    static BROKEN: Cell<Option<OwnershipRule>> = const { Cell::new(None) };
}

impl OwnershipRule {
    /// Switches this rule off, and every other one on, for the calls of this thread.
    #[cfg(feature = "broken-rules")]
    pub fn only_without(rule: Option<Self>) {
        BROKEN.set(rule);
    }

    /// Whether it is in force. Always, but in tests.
    #[cfg(feature = "broken-rules")]
    pub fn holds(self) -> bool {
        BROKEN.get() != Some(self)
    }

    /// Whether it is in force. Always, but in tests.
    #[cfg(not(feature = "broken-rules"))]
    #[inline]
    pub const fn holds(self) -> bool {
        true
    }
}
