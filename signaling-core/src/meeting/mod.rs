//! The part of a meeting that its room needs to know. Dates, recurrences and storage are outside the core.

mod code;
mod happening;

pub use code::MeetingCode;
pub use happening::{Happening, Presence, RoomHappening};
