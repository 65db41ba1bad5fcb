//! The sender of a request, after authentication.

use crate::five_tuple::{FiveTuple, PathId};
use crate::wire::{IntegrityAlgorithm, Key, PasswordAlgorithm, ReplyTo};

/// The client of an authenticated request, and the key that signs the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verified {
    pub(super) key: Key,
    pub(super) password_algorithm: PasswordAlgorithm,
    pub(super) integrity: IntegrityAlgorithm,
    pub(super) reply_to: ReplyTo,
    pub(super) tuple: FiveTuple,
    pub(super) path: PathId,
}
