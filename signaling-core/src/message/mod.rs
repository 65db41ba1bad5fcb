//! The messages between clients and server: the serde types of the wire protocol.

mod cause;
mod client;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
mod samples;
mod server;
mod vocabulary;

pub use cause::Cause;
pub use client::{
    App, Call, CallAction, Chat, ClientMessage, Host, HostAction, Join, Leave, Publish, Reaction, Resume,
    Signal, Subscribe, TopologyStep, Update,
};
pub use server::{IceServers, PeerView, Reply, RoomView, ServerEvent, Snapshot, Welcome, WelcomeState};
pub use vocabulary::{
    Attention, CallEnd, CallState, EndReason, HostToken, IceServer, Json, LeaveReason, LobbyVerdict, Name,
    PeerConnection, PeerLevel, PeerTarget, PublishTrack, QualityReason, RecordingState, Role, SignalBody,
    SubscribeTrack, Switch, Topology, TopologyChoice, Track, TrackKind, TrackSource,
};
