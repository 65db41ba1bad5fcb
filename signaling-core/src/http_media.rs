//! WHIP and WHEP: what a media plane does for clients that speak HTTP and no more.

use std::net::IpAddr;

use crate::{PeerId, Refusal, RoomId};

/// What an HTTP session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpSession {
    /// WHIP (RFC 9725).
    Publish,
    /// WHEP, of this publisher or else of the room's first.
    Play {
        /// The publisher asked for.
        publisher: Option<PeerId>,
    },
}

/// An offer by POST. Its peer has joined before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOffer {
    /// The room.
    pub room: RoomId,
    /// Who.
    pub peer: PeerId,
    /// What for.
    pub session: HttpSession,
    /// The SDP.
    pub sdp: String,
    /// The server's address by which the client came, or one of its kind; it becomes the first candidate.
    pub via: Option<IpAddr>,
}

/// The answer to an offer, or to an ICE restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The SDP, or of a restart the fragment.
    pub sdp: String,
    /// The ICE session, which is the entity tag (RFC 9725 section 4.3.1): letters, digits, `+` and `/`.
    pub ice_session: String,
}

/// Candidates or an ICE restart by PATCH (RFC 9725 section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPatch {
    /// The room.
    pub room: RoomId,
    /// Who.
    pub peer: PeerId,
    /// The ICE sessions that it may be about; `None` when any will do (`If-Match: *`).
    pub ice_sessions: Option<Vec<String>>,
    /// The SDP fragment (RFC 8840).
    pub sdp: String,
}

/// What became of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// The candidates were noted.
    Trickled,
    /// The ICE session is another one now.
    Restarted(HttpAnswer),
    /// Nothing: it was about an ICE session of before.
    Stale,
}

/// Takes the result, from whichever thread has it.
pub type HttpReply<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// The media plane's side of WHIP and WHEP. Nothing of it blocks.
pub trait HttpMedia: Send + Sync {
    /// What is wrong with an offer, without taking it: nobody need hear of a peer that can't be.
    fn check(&self, session: HttpSession, sdp: &str) -> Result<(), Refusal>;
    /// Answers an offer.
    fn offer(&self, offer: HttpOffer, reply: HttpReply<HttpAnswer>);
    /// Carries out a patch.
    fn patch(&self, patch: HttpPatch, reply: HttpReply<Patched>);
}
