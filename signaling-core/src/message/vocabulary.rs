//! Vocabulary of both directions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Code, PeerId, Refusal, is_blank};

/// JSON that the server carries without reading it. It is kept on one line, since event streams consist of lines.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "any"))]
#[serde(transparent)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        if !raw.get().contains(['\n', '\r']) {
            return Self(raw.into());
        }
        // JSON strings contain no raw line breaks, so these are white space between tokens.
        let one_line = raw.get().replace(['\n', '\r'], " ");
        Self(RawValue::from_string(one_line).unwrap_or(raw).into())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

impl Eq for Json {}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// The purpose of a peer in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sends and receives.
    #[default]
    Participant,
    /// Sends to viewers, through the SFU.
    Broadcaster,
    /// Receives; counted rather than listed.
    Viewer,
}

/// The topology that a room is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum TopologyChoice {
    /// Always peer to peer.
    Mesh,
    /// Always through the SFU.
    Sfu,
    /// Peer to peer up to two participants, else through the SFU.
    #[default]
    Auto,
}

/// The present path of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Peer to peer.
    Mesh,
    /// Through the SFU.
    Sfu,
}

/// The phase of a change of topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// Build the new path, and keep the old one.
    Switching,
    /// Close the old path.
    Settled,
}

/// Why a peer has left the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum LeaveReason {
    /// It left by itself.
    Left,
    /// It had no connection for longer than the resume window.
    Timeout,
    /// A host removed it.
    Kicked,
    /// The same client joined again.
    Replaced,
    /// The room ended.
    Ended,
}

/// Why a room has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// A host ended it.
    HostEnded,
    /// Its time is over.
    Expired,
    /// It was empty for too long.
    Empty,
    /// The server is being taken out of service.
    Drained,
}

/// A host's decision about a peer in the lobby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum LobbyVerdict {
    Admitted,
    Denied,
}

/// How far a one-to-one call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// The callee has not answered yet.
    Ringing,
    /// Accepted; media is being set up.
    Connecting,
    /// Media flows for both.
    Connected,
    /// The call is over.
    Ended,
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum CallEnd {
    Declined,
    Cancelled,
    Busy,
    Unanswered,
    HungUp,
    Failed,
}

/// The state of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum RecordingState {
    /// Requested.
    Starting,
    /// Being written.
    Active,
    /// Ended on request.
    Stopped,
    /// Ended by an error.
    Failed,
}

/// A display name: 1 to 64 characters after trimming, at least one of them visible, without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// The name that `text` holds, or `name-invalid`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let trimmed = text.trim();
        let chars = trimmed.chars().count();
        if chars <= 64 && !is_blank(trimmed) && !trimmed.chars().any(is_unprintable) {
            Ok(Self(trimmed.into()))
        } else {
            let rule = "a name has 1 to 64 characters, of which one can be seen, and no control characters";
            Err(Refusal::new(Code::NameInvalid, rule))
        }
    }

    /// The name, which must be shown as plain text only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Controls, and bidirectional controls, with which a name could change how the text around it reads.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The other end of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
pub enum PeerTarget {
    /// The media server.
    Sfu,
    /// A peer.
    Peer(PeerId),
}

impl PeerTarget {
    /// Parses `sfu` or a peer's id. Anything else is `peer-unknown`, since no peer has such an id.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text == "sfu" {
            return Ok(Self::Sfu);
        }
        text.parse().map(Self::Peer).map_err(|_| Refusal::new(Code::PeerUnknown, "no such peer in the room"))
    }
}

impl Serialize for PeerTarget {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sfu => serializer.serialize_str("sfu"),
            Self::Peer(peer) => peer.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for PeerTarget {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A token that gives a host's powers over one life of a room.
pub type HostToken = String;

/// One of a peer's two connections to the SFU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum PeerConnection {
    /// The client sends, and offers.
    Publish,
    /// The client receives, and the server offers.
    Subscribe,
}

/// The content of a signal, as it came from the browser.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct SignalBody {
    /// An `RTCSessionDescriptionInit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional, type = "RTCSessionDescriptionInit"))]
    pub description: Option<Json>,
    /// An `RTCIceCandidateInit`; an empty candidate string ends the candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional, type = "RTCIceCandidateInit"))]
    pub candidate: Option<Json>,
    /// Asks the other side for new ICE credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<bool>,
    /// In a mesh: the epoch of the topology to which the signal belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// With the SFU: the connection that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pc: Option<PeerConnection>,
    /// With the SFU: the number of this offer, or of the offer that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negotiation: Option<u64>,
    /// In the SFU's offers: which media line carries which track.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub tracks: Vec<SubscribeTrack>,
}

/// One media line of an SFU's offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct SubscribeTrack {
    /// The media line's `mid`.
    pub mid: String,
    /// The id of the track that it carries.
    pub track: String,
    /// The publisher of the track.
    pub peer: PeerId,
}

/// The medium of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

/// Where a track comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum TrackSource {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A screen or window.
    Screen,
    /// The sound of a screen or window.
    ScreenAudio,
    /// Something else.
    Other,
}

/// A track of the next publish offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct PublishTrack {
    /// The media line's `mid`.
    pub mid: String,
    /// Sound or picture.
    pub kind: TrackKind,
    /// Where it comes from.
    pub source: TrackSource,
    /// A human-readable name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A track that can be subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Track {
    /// Its id, unique in the room.
    pub track: String,
    /// Sound or picture.
    pub kind: TrackKind,
    /// Where it comes from.
    pub source: TrackSource,
    /// Whether it is available in several sizes.
    #[serde(default)]
    pub simulcast: bool,
    /// The codec's name as in SDP (`VP8`, `opus`).
    pub codec: String,
}

/// How a client wants to receive one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Attention {
    /// Whether it is wanted at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The maximum width in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_width: Option<u32>,
    /// The maximum height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_height: Option<u32>,
    /// The maximum frame rate per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fps: Option<f32>,
    /// Tracks of higher priority are served first. Sound with a priority above 0 is sent whoever is louder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

/// The sound level of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct PeerLevel {
    /// The peer.
    pub peer: PeerId,
    /// From 0 (silent) to 1.
    pub level: f32,
}

/// Why a peer's media is impaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum QualityReason {
    /// The path to the recipient of the report is too narrow.
    OwnNetwork,
    /// The publisher sends no picture that decoding can start from, or its path is too narrow.
    Sender,
    /// The server is overloaded.
    Server,
    /// The recipient of the report asked for no more.
    NotWanted,
}

/// An `RTCIceServer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// The user name, for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password, for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_json_stands_on_one_line() {
        let json: Json = serde_json::from_str("{\r\n \"a\":\n[1,\n\"x\\ny\"]}").unwrap();
        assert_eq!(json.as_str(), r#"{   "a": [1, "x\ny"]}"#);
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(Name::parse("  Ada  ").unwrap().as_str(), "Ada");
        assert_eq!(Name::parse("<b>x</b>").unwrap().as_str(), "<b>x</b>", "markup is text like any other");
        assert!(Name::parse(&"ä".repeat(64)).is_ok());
        for bad in ["", "   ", "a\nb", "\u{0}", "a\u{202e}b", "\u{3164}", "\u{200b}", &"x".repeat(65)] {
            assert_eq!(Name::parse(bad).unwrap_err().code, Code::NameInvalid, "{bad:?}");
        }
    }
}
