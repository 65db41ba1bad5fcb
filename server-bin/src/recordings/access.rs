//! Who may see which recordings.

use signaling_core::{HostClaims, LifeId, RoomId, ServerKey};

/// What a bearer opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything.
    #[allow(dead_code, reason = "keys of other applications reach so far")]
    All,
    /// What was recorded in one life of one room.
    Room(RoomId, LifeId),
}

impl Reach {
    /// Whether a recording of this room is within it.
    pub(crate) fn covers(&self, room: &RoomId, life: LifeId) -> bool {
        match self {
            Self::All => true,
            Self::Room(own, own_life) => own == room && *own_life == life,
        }
    }
}

/// Knows one kind of bearer.
pub(crate) trait RecordingAccess: Send + Sync {
    /// What it opens; `None` for a bearer of another kind.
    fn reach(&self, bearer: &str) -> Option<Reach>;
}

/// Hosts see what was recorded in their own life of a room, and go on to after its end.
pub(crate) struct HostTokens(pub(crate) ServerKey);

impl RecordingAccess for HostTokens {
    fn reach(&self, bearer: &str) -> Option<Reach> {
        HostClaims::open(&self.0, bearer).map(|claims| Reach::Room(claims.room, claims.life))
    }
}
