//! Which rooms belong to meetings.

use async_trait::async_trait;
use signaling_core::meeting::MeetingCode;
use signaling_core::room::RoomRecord;
use signaling_core::{Refusal, RoomId};

/// Knows the rooms of meetings, open or not.
#[async_trait]
pub trait MeetingDirectory: Send + Sync {
    /// The record of the room of the meeting with this code; `None` if there never was such a meeting, and the refusal
    /// `room-ended` if it is over.
    async fn by_code(&self, code: MeetingCode) -> Result<Option<RoomRecord>, Refusal>;
    /// The room of the meeting with this code, over or not.
    async fn room_of_code(&self, code: MeetingCode) -> Result<Option<RoomId>, Refusal> {
        Ok(self.by_code(code).await?.map(|record| record.room))
    }
    /// As [`Self::by_code`], by the room's own id.
    async fn by_room(&self, room: &RoomId) -> Result<Option<RoomRecord>, Refusal>;
}

/// No meetings: every code is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMeetings;

#[async_trait]
impl MeetingDirectory for NoMeetings {
    async fn by_code(&self, _code: MeetingCode) -> Result<Option<RoomRecord>, Refusal> {
        Ok(None)
    }

    async fn by_room(&self, _room: &RoomId) -> Result<Option<RoomRecord>, Refusal> {
        Ok(None)
    }
}
