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
        let mark: [u8; RESOURCE_MARK] =
            key.mark(format!("media session {} {peer} {session}", self.room).as_bytes());
        format!("{peer}{session}{}", std::str::from_utf8(&mark).unwrap_or_default())
    }

    /// The seat that a URL's last segment names, if this key made the segment.
    pub fn from_resource(key: &ServerKey, room: &RoomId, resource: &str) -> Option<Self> {
        let (peer, rest) = resource.split_at_checked(16)?;
        let (session, _) = rest.split_at_checked(16)?;
        let seat = Self { room: room.clone(), peer: peer.parse().ok()?, session: session.parse().ok()? };
        (seat.to_resource(key) == resource).then_some(seat)
    }
}

impl From<&SessionClaims> for Seat {
    fn from(claims: &SessionClaims) -> Self {
        Self { room: claims.room.clone(), peer: claims.peer, session: claims.session }
    }
}
