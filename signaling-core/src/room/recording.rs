//! The recording of a room.

use serde::{Deserialize, Serialize};

use super::{Effect, Fact, Room};
use crate::message::{RecordingState, Role, TopologyChoice};
use crate::{Code, RecordScope, Refusal};

/// Whether the room is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Flags", into = "Flags")]
pub(super) enum Recording {
    #[default]
    Off,
    On,
    /// It has been told to end, and has not ended yet.
    Ending,
    /// It has ended; the server starts none by itself until the room is empty.
    Over,
}

impl Recording {
    /// Whether the room is recorded at present.
    pub(super) fn is_on(self) -> bool {
        matches!(self, Self::On | Self::Ending)
    }

    /// The recording after a report of the media plane about the whole room.
    pub(super) fn after(self, report: RecordingState) -> Self {
        match report {
            RecordingState::Starting | RecordingState::Active if self == Self::Ending => Self::Ending,
            RecordingState::Starting | RecordingState::Active => Self::On,
            RecordingState::Stopped | RecordingState::Failed => Self::Over,
        }
    }

    /// The recording after the last peer has left.
    pub(super) fn after_last_peer(self) -> Self {
        if self == Self::Over { Self::Off } else { self }
    }
}

/// The recording as snapshots contain it.
#[derive(Serialize, Deserialize)]
struct Flags {
    recording: bool,
    #[serde(default)]
    recording_ends: bool,
    #[serde(default)]
    recorded: bool,
}

impl From<Recording> for Flags {
    fn from(recording: Recording) -> Self {
        Self {
            recording: recording.is_on(),
            recording_ends: recording == Recording::Ending,
            recorded: recording == Recording::Over,
        }
    }
}

impl From<Flags> for Recording {
    fn from(flags: Flags) -> Self {
        match flags {
            Flags { recording: true, recording_ends: true, .. } => Self::Ending,
            Flags { recording: true, .. } => Self::On,
            Flags { recorded: true, .. } => Self::Over,
            Flags { .. } => Self::Off,
        }
    }
}

impl Room {
    /// A host or the server's operator starts or stops the recording.
    pub(super) fn decide_recording(&self, on: bool) -> Result<Vec<Effect>, Refusal> {
        let invalid = |why| Err(Refusal::new(Code::InvalidState, why));
        if !self.rules.recorder {
            return invalid("this server does not record");
        }
        if self.state.choice == TopologyChoice::Mesh {
            return invalid("a room that is always peer to peer cannot be recorded");
        }
        let fact = match (on, self.state.recording) {
            (true, Recording::Off | Recording::Over) => {
                Fact::RecordingBegun { scope: RecordScope::Everybody }
            }
            (false, Recording::On) => Fact::RecordingEnding,
            (false, Recording::Ending) => return invalid("the recording is being ended already"),
            (true, Recording::On | Recording::Ending) | (false, Recording::Off | Recording::Over) => {
                return invalid("nothing to change about the recording");
            }
        };
        Ok(vec![Effect::Fact(fact)])
    }

    /// The publishers that the server's recording rule covers, if a recording is due to begin.
    pub(super) fn recording_due(&self) -> Option<RecordScope> {
        let may = self.rules.recorder
            && self.state.recording == Recording::Off
            && self.state.choice != TopologyChoice::Mesh;
        let scope = self.rules.record;
        let is_there = match scope {
            RecordScope::Nobody => false,
            RecordScope::Broadcasters => self.joined().any(|member| member.role == Role::Broadcaster),
            RecordScope::Everybody => self.joined().next().is_some(),
        };
        (may && is_there).then_some(scope)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_snapshot_contains_three_flags() {
        for (recording, flags) in [
            (Recording::Off, json!({"recording": false, "recording_ends": false, "recorded": false})),
            (Recording::On, json!({"recording": true, "recording_ends": false, "recorded": false})),
            (Recording::Ending, json!({"recording": true, "recording_ends": true, "recorded": false})),
            (Recording::Over, json!({"recording": false, "recording_ends": false, "recorded": true})),
        ] {
            assert_eq!(serde_json::to_value(recording).unwrap(), flags);
            assert_eq!(serde_json::from_value::<Recording>(flags).unwrap(), recording);
        }
        let again = json!({"recording": true, "recorded": true});
        assert_eq!(serde_json::from_value::<Recording>(again).unwrap(), Recording::On);
    }
}
