//! What the log says of those who enter rooms: the room, the peer, what was requested, and why it was refused. It has neither
//! names nor anything that lets its reader in.

use signaling_core::{Refusal, RoomId, Seat};

/// Writes into the log whether a request to enter a room was granted, and passes the answer on.
pub(crate) fn noted<T>(
    request: &'static str,
    room: &RoomId,
    answer: Result<T, Refusal>,
    seat: impl FnOnce(&T) -> &Seat,
) -> Result<T, Refusal> {
    match &answer {
        Ok(entered) => tracing::debug!(%room, peer = %seat(entered).peer, request, "entered"),
        Err(refusal) => tracing::debug!(%room, request, cause = refusal.code.as_str(), "not let in"),
    }
    answer
}

/// As [`noted`], of a join that was refused before its room was asked. `room` is what the client called it, unless that is
/// a meeting's code: with the code, anybody could enter.
pub(crate) fn turned_away(room: Option<&RoomId>, refusal: &Refusal) {
    let room = room.map(tracing::field::display);
    tracing::debug!(room, request = "join", cause = refusal.code.as_str(), "not let in");
}
