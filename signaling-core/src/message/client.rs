//! Messages from a client to the server.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Attention, Json, PublishTrack, Role, SignalBody, Topology, TopologyChoice};
use crate::{Code, Refusal, RoomName, SessionId};

/// A message of a client, without its `seq`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(tag = "type", rename_all = "kebab-case"))]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is its struct")]
pub enum ClientMessage {
    Join(Box<Join>),
    Resume(Resume),
    Leave(Leave),
    Signal(Box<Signal>),
    Publish(Publish),
    Subscribe(Subscribe),
    Topology(TopologyStep),
    Chat(Chat),
    Reaction(Reaction),
    App(App),
    Update(Box<Update>),
    Call(Call),
    Host(Host),
    /// `ping`, with the client's own `t`.
    Ping(#[cfg_attr(feature = "typescript", ts(type = "{ t?: Json }"))] Option<Json>),
}

/// Enter a room; the first message of a new session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// The room, or the code of a meeting.
    pub room: RoomName,
    /// The display name, checked by [`Name::parse`](super::Name::parse).
    pub name: String,
    /// The requested role.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub role: Role,
    /// A join token or the room's host token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The room's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Whether to make the room if it does not exist.
    #[serde(default = "yes", deserialize_with = "or_yes")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub create: bool,
    /// The topology of a room that this join makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<TopologyChoice>,
    /// Metadata that every peer sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// A secret of the client. A second join with the same secret replaces the older peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The features that the client supports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Json>,
    /// The host name or address by which the client reached the server, as the transport saw it.
    #[serde(skip)]
    pub reached_at: Option<String>,
}

fn yes() -> bool {
    true
}

fn or_yes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(true))
}

/// Reads `null` as an absent value, since some languages write it so.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Resume a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// The session's id.
    pub session: SessionId,
    /// Its secret.
    pub secret: String,
    /// The id of the last event that the client has seen.
    #[serde(default)]
    pub last_id: u64,
}

/// Leave for good: the session ends at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Leave {
    /// The page is closed or reloaded, and its user may return. For the resume window, a host's powers wait, and an
    /// admitted client may re-enter past lock, password and lobby.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub may_return: bool,
}

/// A signal to a peer or to the SFU.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Signal {
    /// A peer's id, or `sfu`.
    pub to: String,
    /// The content.
    #[serde(flatten)]
    pub body: SignalBody,
}

/// Describes the tracks of the next publish offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Publish {
    /// One for each media line.
    pub tracks: Vec<PublishTrack>,
}

/// How this client wants to receive one track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Subscribe {
    /// The track's id.
    pub track: String,
    /// Whether and in which quality it is wanted.
    #[serde(flatten)]
    pub attention: Attention,
}

/// Media flows on the new path; or, with `topology`, the present path carries none and another one is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct TopologyStep {
    /// The epoch of the path that is ready, or that has failed.
    pub epoch: u64,
    /// Always true, unless another topology is requested.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<_>"))]
    pub ready: bool,
    /// `sfu`, from a peer of a mesh that cannot connect to another peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
}

/// A chat message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct Chat {
    /// 1 to 4,000 characters.
    pub text: String,
    /// The recipient, if not every peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// An emoji that is shown for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Reaction {
    /// At most 32 bytes.
    pub emoji: String,
}

/// A message of the embedding application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct App {
    /// The topic, 1 to 64 characters.
    pub topic: String,
    /// Opaque data.
    pub data: Json,
    /// The recipient, if not every other peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A change of the client's own state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct Update {
    /// A new display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the microphone is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microphone: Option<bool>,
    /// Whether the camera is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<bool>,
    /// Whether a screen is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<bool>,
    /// Whether the hand is raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<bool>,
    /// Metadata that every peer sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// A step of a one-to-one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct Call {
    /// The step.
    pub action: CallAction,
    /// The peer to ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The call, for every step but `ring`; by default the one that the peer is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// The steps of a one-to-one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum CallAction {
    Ring,
    Accept,
    Decline,
    Cancel,
    Hangup,
    Connected,
    Failed,
}

/// An action of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct Host {
    /// The action.
    pub action: HostAction,
    /// The peer that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The parameter of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(type = "Json"))]
    pub value: Option<serde_json::Value>,
}

/// The actions of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum HostAction {
    Admit,
    Deny,
    Kick,
    Mute,
    Lock,
    Unlock,
    SetPassword,
    SetLobby,
    Promote,
    StartRecording,
    StopRecording,
    End,
}

impl ClientMessage {
    /// Reads the message of type `kind` from its JSON.
    pub(crate) fn read(kind: &str, json: &[u8]) -> Result<Self, Refusal> {
        fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Refusal> {
            serde_json::from_slice(json)
                .map_err(|error| Refusal::bad_request(format!("not understood: {error}")))
        }
        #[derive(Deserialize)]
        struct Ping {
            t: Option<Json>,
        }
        // Raw JSON does not pass through serde's flatten, so a signal is read in two parts.
        #[derive(Deserialize)]
        struct To {
            to: String,
        }
        Ok(match kind {
            "join" => Self::Join(Box::new(parse(json)?)),
            "resume" => Self::Resume(parse_resume(json)?),
            "leave" => Self::Leave(parse(json)?),
            "signal" => Self::Signal(Box::new(Signal { to: parse::<To>(json)?.to, body: parse(json)? })),
            "publish" => Self::Publish(parse(json)?),
            "subscribe" => Self::Subscribe(parse(json)?),
            "topology" => Self::Topology(parse(json)?),
            "chat" => Self::Chat(parse(json)?),
            "reaction" => Self::Reaction(parse(json)?),
            "app" => Self::App(parse(json)?),
            "update" => Self::Update(Box::new(parse(json)?)),
            "call" => Self::Call(parse(json)?),
            "host" => Self::Host(parse(json)?),
            "ping" => Self::Ping(parse::<Ping>(json)?.t),
            _ => {
                let known: String = kind.chars().take(32).collect();
                return Err(Refusal::new(Code::UnknownMessage, format!("no message of type {known:?}")));
            }
        })
    }
}

/// A `resume` with an impossible session id names an unknown session; it is not malformed.
fn parse_resume(json: &[u8]) -> Result<Resume, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Loose {
        session: String,
        secret: String,
        #[serde(default, deserialize_with = "or_default")]
        last_id: u64,
    }
    let loose: Loose = serde_json::from_slice(json)
        .map_err(|error| Refusal::bad_request(format!("not understood: {error}")))?;
    let session =
        loose.session.parse().map_err(|_| Refusal::new(Code::SessionUnknown, "no session of that id"))?;
    Ok(Resume { session, secret: loose.secret, last_id: loose.last_id })
}
