//! The record of one recording in the index.

use serde::{Deserialize, Serialize};
use signaling_core::message::{Name, TrackSource};
use signaling_core::{LifeId, PeerId, RoomId, Timestamp};

use super::RecordingId;
use crate::container::Container;
use crate::upload::Upload;

/// How far the recording of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// The recording is being written.
    Recording,
    /// The recording is complete and is being remuxed or transcoded.
    Finalising,
    /// The recording is available.
    Ready,
    /// The recording has failed or is not available.
    Failed,
}

/// One recording: the audio and video of a publisher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The id of the recording.
    pub recording: RecordingId,
    /// The room.
    pub room: RoomId,
    /// The life of the room.
    pub life: LifeId,
    /// The publishing peer; `None` for a composite of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerId>,
    /// The display name of the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The source, such as a camera or a screen.
    pub source: TrackSource,
    /// The capture time of the first frame.
    pub started_at: Timestamp,
    /// The end of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The state of the recording.
    pub state: EntryState,
    /// The container format of the file.
    pub container: Container,
    /// The clockwise rotation of the pictures, in degrees. An MP4 contains it itself.
    #[serde(default, skip_serializing_if = "is_upright")]
    pub rotation: u16,
    /// The file's name in the folder of recordings.
    pub file: String,
    /// The size of the file.
    pub bytes: u64,
    /// The duration of the file.
    pub duration_ms: u64,
    /// The codecs in the file.
    pub codecs: Vec<String>,
    /// Whether captions are beside the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub captions: bool,
    /// The number of packets that were never received.
    pub lost_packets: u64,
    /// The number of packets that were dropped because the disk was too slow.
    pub dropped_packets: u64,
    /// The error that occurred, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the recording has been finalised.
    #[serde(default)]
    pub finalised: bool,
    /// Why finalising failed, if it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalise_error: Option<String>,
    /// Whether the file is in the folder, rather than only in object storage.
    #[serde(default = "is_local")]
    pub local: bool,
    /// The progress of the upload, if the recording is to be uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// The last error of the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_error: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_upright(rotation: &u16) -> bool {
    *rotation == 0
}

/// The default for notes written before object storage was supported.
fn is_local() -> bool {
    true
}

#[cfg(test)]
pub(crate) mod testing {
    use signaling_core::testing::SeededEntropy;

    use super::*;

    /// A recording that has just started.
    pub(crate) fn entry(seed: u64) -> Entry {
        let mut entropy = SeededEntropy::new(seed);
        let recording = RecordingId::random(&mut entropy);
        Entry {
            recording,
            room: "standup".parse().unwrap(),
            life: LifeId::random(&mut entropy),
            peer: Some(PeerId::random(&mut entropy)),
            name: None,
            source: TrackSource::Camera,
            started_at: Timestamp::from_millis(seed),
            ended_at: None,
            state: EntryState::Recording,
            container: Container::Mp4,
            file: format!("2026-11-21_04-00-00_{recording}.mp4"),
            bytes: 0,
            duration_ms: 0,
            codecs: vec![],
            captions: false,
            lost_packets: 0,
            dropped_packets: 0,
            error: None,
            finalised: false,
            finalise_error: None,
            rotation: 0,
            local: true,
            upload: None,
            upload_error: None,
        }
    }
}
