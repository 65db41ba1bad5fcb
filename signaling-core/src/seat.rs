//! A session's place in a room.

use crate::{PeerId, RoomId, ServerKey, SessionClaims, SessionId};

/// Characters of a resource's mark, of five bits each.
const RESOURCE_MARK: usize = 16;

/// The room, peer and session that a connection speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The room.
    pub room: RoomId,
    /// The peer in it.
    pub peer: PeerId,
    /// The session of the peer.
    pub session: SessionId,
}

impl Seat {
    /// The last segment of a WHIP or WHEP session's URL. It is unguessable, and authorizes its bearer to act for the
    /// session.
    pub fn to_resource(&self, key: &ServerKey) -> String {
        let (peer, session) = (self.peer.as_str(), self.session.as_str());
        let mark: [u8; RESOURCE_MARK] = key.mark(self.to_marked().as_bytes());
        format!("{peer}{session}{}", std::str::from_utf8(&mark).unwrap_or_default())
    }

    /// The seat that a URL's last segment names, if this key made the segment.
    pub fn from_resource(key: &ServerKey, room: &RoomId, resource: &str) -> Option<Self> {
        let (peer, rest) = resource.split_at_checked(16)?;
        let (session, mark) = rest.split_at_checked(16)?;
        let seat = Self { room: room.clone(), peer: peer.parse().ok()?, session: session.parse().ok()? };
        key.has_marked::<RESOURCE_MARK>(seat.to_marked().as_bytes(), mark.as_bytes()).then_some(seat)
    }

    /// The text that the mark of a resource is derived from.
    fn to_marked(&self) -> String {
        format!("media session {} {} {}", self.room, self.peer, self.session)
    }
}

impl From<&SessionClaims> for Seat {
    fn from(claims: &SessionClaims) -> Self {
        Self { room: claims.room.clone(), peer: claims.peer, session: claims.session }
    }
}
