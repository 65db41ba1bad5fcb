//! Ids of rooms, peers and sessions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Entropy;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so that an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `N` random base-32 characters, 5 bits each.
pub(crate) fn random_text<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes.map(base32)
}

/// The base-32 character of the low five bits.
pub(crate) fn base32(byte: u8) -> u8 {
    ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0')
}

/// Text that is not an id of the requested kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed id")]
pub struct MalformedId;

macro_rules! ascii_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
        pub struct $name([u8; $len]);

        impl $name {
            /// A new id, with 5 random bits for each character.
            pub fn random(entropy: &mut dyn Entropy) -> Self {
                Self(random_text(entropy))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let bytes: [u8; $len] = text.as_bytes().try_into().map_err(|_| MalformedId)?;
                if bytes.iter().all(|byte| ALPHABET.contains(byte)) { Ok(Self(bytes)) } else { Err(MalformedId) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

ascii_id!(
    /// A peer in a room, known to every peer there. The bytewise order decides which of two peers is polite in a mesh.
    PeerId,
    16
);

ascii_id!(
    /// A peer's session with the server, over successive connections. The id is a name only; access needs the session's
    /// secret.
    SessionId,
    16
);

ascii_id!(
    /// One life of a room, from its creation to its end. Host tokens and recordings belong to it, not to the name.
    LifeId,
    10
);

ascii_id!(
    /// A one-to-one call, from the first ring to its end.
    CallId,
    12
);

ascii_id!(
    /// A meeting, over all its occurrences. The id is unguessable: its bearer may read the content of an invitation.
    MeetingId,
    16
);

/// A connection of a session. The number increases with every transport that takes over the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The id of a room: `[A-Za-z0-9_-]{1,64}`, chosen by people, derived from a [`RoomName`](crate::RoomName), or made by
/// [`RoomId::made_by_server`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
pub struct RoomId(Arc<str>);

/// Random characters of an id made by the server (65 bits), before its mark.
const MADE_RANDOM: usize = 13;
/// Characters of the mark by which the server recognises its own ids (35 bits).
const MADE_MARK: usize = 7;

impl RoomId {
    /// An unguessable id that ends in a mark made with `key`. Since the server recognises its own ids by the mark, it
    /// needs no list of ended rooms: an own id without a room has ended.
    pub fn made_by_server(key: &crate::ServerKey, entropy: &mut dyn Entropy) -> Self {
        let mut text = random_text::<MADE_RANDOM>(entropy).to_vec();
        let mark = key.mark::<MADE_MARK>(&text);
        text.extend(mark);
        Self(String::from_utf8_lossy(&text).into())
    }

    /// Whether a server with this key made the id.
    pub fn is_made_by(&self, key: &crate::ServerKey) -> bool {
        let bytes = self.0.as_bytes();
        bytes.len() == MADE_RANDOM + MADE_MARK
            && bytes
                .split_at_checked(MADE_RANDOM)
                .is_some_and(|(random, mark)| key.has_marked::<MADE_MARK>(random, mark))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if fits { Ok(Self(text.into())) } else { Err(MalformedId) }
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RoomId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServerKey, testing::SeededEntropy};

    #[test]
    fn room_names_keep_to_the_alphabet() {
        for good in ["a", "A-b_9", &"x".repeat(64)] {
            assert!(good.parse::<RoomId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "ä", "a/b", "..", "a.b", &"x".repeat(65)] {
            assert!(bad.parse::<RoomId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_knows_its_own_ids() {
        let mut entropy = SeededEntropy::new(1);
        let (key, other) = (ServerKey::new([7; 32]), ServerKey::new([8; 32]));
        let made = RoomId::made_by_server(&key, &mut entropy);
        assert!(made.is_made_by(&key));
        assert!(!made.is_made_by(&other));
        assert!(!"standup".parse::<RoomId>().unwrap().is_made_by(&key));
    }

    #[test]
    fn peer_ids_parse_as_they_print() {
        let id = PeerId::random(&mut SeededEntropy::new(3));
        assert_eq!(id.to_string().parse::<PeerId>(), Ok(id));
        assert!("sfu".parse::<PeerId>().is_err());
    }
}
