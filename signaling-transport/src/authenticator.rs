//! Who may enter at all.

use signaling_core::message::Join;
use signaling_core::{Grant, Refusal, Timestamp};

/// Decides who may enter at all, before the room is asked.
pub trait Authenticator: Send + Sync {
    /// What the join's token, or its absence, grants, or why the join is refused.
    fn authenticate(&self, now: Timestamp, join: &Join) -> Result<Grant, Refusal>;

    /// Whether the bearer of this token, or of none, may make a room whose name the server chooses.
    fn may_make_room(&self, _now: Timestamp, _token: Option<&str>) -> Result<(), Refusal> {
        Ok(())
    }

    /// The room that a valid token of the authenticator is for, as the token states it: a code, a name or an id.
    fn names(&self, _now: Timestamp, _token: &str) -> Option<String> {
        None
    }
}

/// Admits everyone: the authenticator of a server without tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAuthenticator;

impl Authenticator for OpenAuthenticator {
    fn authenticate(&self, _now: Timestamp, _join: &Join) -> Result<Grant, Refusal> {
        Ok(Grant { may_create: true, ..Grant::default() })
    }
}
