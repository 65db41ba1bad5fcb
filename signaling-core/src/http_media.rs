//! WHIP and WHEP: what a media plane does for clients that speak only HTTP, and what it tells other clients over HTTP.

use std::net::IpAddr;

use serde::Serialize;

use crate::{PeerId, PeerStatistics, Refusal, RoomId};

/// The purpose of an HTTP session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpSession {
    /// WHIP (RFC 9725).
    Publish,
    /// WHEP, for this publisher or else the room's first.
    Play {
        /// The requested publisher.
        publisher: Option<PeerId>,
    },
}

/// An offer by POST. Its peer has already joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOffer {
    /// The room.
    pub room: RoomId,
    /// The peer.
    pub peer: PeerId,
    /// The purpose of the session.
    pub session: HttpSession,
    /// The SDP.
    pub sdp: String,
    /// The server's address by which the client came, or one of its kind; it becomes the first candidate.
    pub via: Option<IpAddr>,
}

/// The answer to an offer, or to an ICE restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The SDP; for a restart, the SDP fragment.
    pub sdp: String,
    /// The ICE session, used as the entity tag (RFC 9725 section 4.3.1): letters, digits, `+` and `/`.
    pub ice_session: String,
}

/// Candidates or an ICE restart by PATCH (RFC 9725 section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPatch {
    /// The room.
    pub room: RoomId,
    /// The peer.
    pub peer: PeerId,
    /// The ICE sessions that the patch may concern; `None` for any (`If-Match: *`).
    pub ice_sessions: Option<Vec<String>>,
    /// The SDP fragment (RFC 8840).
    pub sdp: String,
}

/// The result of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// The candidates were accepted.
    Trickled,
    /// The ICE session has been replaced.
    Restarted(HttpAnswer),
    /// Nothing changed: the patch concerned an earlier ICE session.
    Stale,
}

/// What the media plane has received on the two connections of a peer; `None` for one that does not exist, or that
/// another part of the media plane serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The connection for the peer's own media.
    pub publish: Option<Reached>,
    /// The connection for the media of others.
    pub subscribe: Option<Reached>,
}

/// What the media plane has received on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Where the latest valid path leads, if any connectivity check has arrived.
    pub check: Option<Way>,
    /// How far DTLS has come.
    pub dtls: DtlsStep,
}

/// By what a client's packets arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The UDP port of media.
    Udp,
    /// A TCP connection of the client.
    Tcp,
    /// The relay of the same process.
    Relay,
}

/// How far a DTLS handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DtlsStep {
    /// Nothing of the client has arrived.
    Waiting,
    /// The client has begun.
    Begun,
    /// The keys are known.
    Connected,
}

/// Receives the result, on whichever thread produces it.
pub type HttpReply<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// The media plane's side of WHIP and WHEP. No method blocks.
pub trait HttpMedia: Send + Sync {
    /// Checks an offer without accepting it, so that no peer is announced whose offer is invalid, or for which the room's
    /// media server has no capacity.
    fn check(&self, room: &RoomId, session: HttpSession, sdp: &str) -> Result<(), Refusal>;
    /// Answers an offer through `reply`.
    fn offer(&self, offer: HttpOffer, reply: HttpReply<HttpAnswer>);
    /// Applies a patch, and answers through `reply`.
    fn patch(&self, patch: HttpPatch, reply: HttpReply<Patched>);
    /// Tells what has arrived of a peer through `reply`.
    fn reach(&self, room: RoomId, peer: PeerId, reply: HttpReply<Reach>);
    /// Tells through `reply` what is measured of the peers that have media in a room.
    fn statistics(&self, room: RoomId, reply: HttpReply<Vec<PeerStatistics>>);
}
