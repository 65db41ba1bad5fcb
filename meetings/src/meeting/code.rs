//! The code of a meeting as it is stored.

use serde::{Deserialize, Serialize};
use signaling_core::meeting::MeetingCode;

/// A code as text, checked when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeetingCodeText(pub MeetingCode);

impl Serialize for MeetingCodeText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MeetingCodeText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}
