//! What a room has to know of the meeting that it was arranged for. Dates, recurrences and storage lie outside.

mod code;
mod happening;

pub use code::MeetingCode;
pub use happening::{Happening, Presence, RoomHappening};
