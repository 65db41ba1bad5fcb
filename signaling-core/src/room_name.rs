//! Names of rooms.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicase::UniCase;
use unicode_normalization::UnicodeNormalization as _;

use crate::{RoomId, is_blank};

/// The most characters of a name.
const LENGTH: usize = 64;
/// The prefix of an id that is derived from a name.
const PREFIX: &str = "n-";
/// Base-32 characters of a SHA-256.
const HASH: usize = 52;
/// RFC 4648 section 6, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The name by which a client asks for a room, and the id that follows from it.
///
/// A name has 1 to 64 characters in Unicode's normalization form C, without surrounding white space, without control
/// and bidirectional control characters, and without any of `/ \ ? # %`. It shows something, and is neither `.` nor
/// `..`. A name that is an id is its own id. The id of any other name is `n-` and the base 32 of the SHA-256 of the
/// case-folded name. Names of that shape are refused, so that such a room always has a name to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string"))]
pub struct RoomName {
    id: RoomId,
    /// The name, if it is not the id.
    text: Option<Arc<str>>,
}

/// Text that is not a room's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a room's name has 1 to 64 characters, no control characters and none of `/ \\ ? # %`, and is not `n-` and \
     a hash"
)]
pub struct MalformedRoomName;

impl RoomName {
    /// Parses a name that a person typed, or that a decoded URL contains.
    pub fn parse(written: &str) -> Result<Self, MalformedRoomName> {
        // Such a long text is not meant as a name, and normalization may make it longer still.
        if written.len() > LENGTH * 16 {
            return Err(MalformedRoomName);
        }
        let text: String = written.nfc().collect::<String>().trim().to_owned();
        if is_hashed(&text) {
            return Err(MalformedRoomName);
        }
        if let Ok(id) = text.parse() {
            return Ok(Self { id, text: None });
        }
        let fits = (1..=LENGTH).contains(&text.chars().count())
            && text.chars().all(is_allowed)
            && !is_blank(&text)
            && text != "."
            && text != "..";
        if !fits {
            return Err(MalformedRoomName);
        }
        let id = hashed(&text).parse().map_err(|_| MalformedRoomName)?;
        Ok(Self { id, text: Some(text.into()) })
    }

    /// The room's id.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// The name as it was written.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or(self.id.as_str())
    }

    /// The name, if the id does not say it.
    pub(crate) fn beyond_id(&self) -> Option<Arc<str>> {
        self.text.clone()
    }
}

impl RoomId {
    /// The id of the room that the text names or identifies. For requests that only find existing rooms; a request that
    /// may make one needs a [`RoomName`].
    pub fn of(text: &str) -> Result<Self, MalformedRoomName> {
        if is_hashed(text) {
            return text.parse().map_err(|_| MalformedRoomName);
        }
        Ok(RoomName::parse(text)?.id)
    }

    /// As [`Self::of`], for `deserialize_with`.
    pub fn deserialize_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::of(&text).map_err(serde::de::Error::custom)
    }
}

/// Whether the text has the form of an id that is derived from a name.
fn is_hashed(text: &str) -> bool {
    text.strip_prefix(PREFIX)
        .is_some_and(|hash| hash.len() == HASH && hash.bytes().all(|byte| ALPHABET.contains(&byte)))
}

fn hashed(text: &str) -> String {
    let folded = UniCase::unicode(text).to_folded_case();
    let hash = digest::digest(&digest::SHA256, folded.as_bytes());
    let mut id = String::from(PREFIX);
    // Five bits for each character, and zeros after the last byte.
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in hash.as_ref().iter().copied().chain([0]) {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 && id.len() < PREFIX.len() + HASH {
            count -= 5;
            let index = usize::try_from(bits >> count & 31).unwrap_or_default();
            id.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
        }
        bits &= (1 << count) - 1;
    }
    id
}

fn is_allowed(c: char) -> bool {
    let is_bidi_control =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(c.is_control() || is_bidi_control || matches!(c, '/' | '\\' | '?' | '#' | '%'))
}

impl FromStr for RoomName {
    type Err = MalformedRoomName;

    fn from_str(text: &str) -> Result<Self, MalformedRoomName> {
        Self::parse(text)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A room that is known by its id alone.
impl From<RoomId> for RoomName {
    fn from(id: RoomId) -> Self {
        Self { id, text: None }
    }
}

impl Serialize for RoomName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for RoomName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> String {
        RoomName::parse(text).unwrap_or_else(|_| panic!("{text:?} is a name")).id().to_string()
    }

    #[test]
    fn a_name_that_is_an_id_is_its_own() {
        for name in ["standup", "A-b_9", "n-", "n-short", " standup ", &"x".repeat(64)] {
            let parsed = RoomName::parse(name).unwrap();
            assert_eq!((parsed.id().as_str(), parsed.text()), (name.trim(), name.trim()));
        }
        assert_ne!(id("Standup"), id("standup"), "as before");
    }

    #[test]
    fn any_other_name_is_hashed_in_its_case_folded_form() {
        // Made by Python: base64.b32encode(hashlib.sha256(text.casefold().encode()).digest()).
        for (name, expected) in [
            ("кухня", "n-a7chgcjqm7i65veeoju4bcprqwm3wiwzis4z3pr4ameiffxvykra"),
            ("team call", "n-cvblav7le7jdpecyk6ion5eikjjrnyp6sr5dz3vqfwxu5wma7y3a"),
            ("🦊", "n-bkpxf2hnvu3ur77ogtqirentx4kjceemawzmalh42ggfuobhdbrq"),
            ("standup.", "n-foxkczazcdifld3q3au2rxs3d2hlm2g5pnpgd6kd5wwiaeg363oq"),
            ("Straße", "n-c3mwsuqio52p5ydjw5mf2omrwjgzbqmbycnscknuscgdlovh6daa"),
        ] {
            assert_eq!(id(name), expected, "{name}");
        }
        for (one, other) in [
            ("Кухня", "КУХНЯ"),
            ("Straße 1", "STRASSE 1"),
            ("café", "cafe\u{301}"),
            ("ΟΔΟΣ", "οδος"),
            ("\u{a0}ä ", "ä"),
        ] {
            assert_eq!(id(one), id(other), "{one}");
        }
        assert_eq!(id("STRASSE"), "STRASSE", "an id stays one, whatever it would fold to");
        assert_eq!(RoomName::parse(" Кухня ").unwrap().text(), "Кухня");
        assert_ne!(id("team call"), id("team  call"));
    }

    #[test]
    fn what_cannot_stand_in_a_link_or_shows_nothing_is_refused() {
        let long = "я".repeat(65);
        for bad in [
            "",
            " ",
            ".",
            "..",
            " .. ",
            "a/b",
            "a\\b",
            "a?",
            "#",
            "100%",
            "a\u{0}b",
            "a\nb",
            "a\u{7f}",
            "\u{202e}abc",
            "\u{200e}я",
            "я\u{2066}",
            "\u{200b}",
            "\u{3164}",
            "\u{200d}\u{200d}",
            long.as_str(),
        ] {
            assert_eq!(RoomName::parse(bad), Err(MalformedRoomName), "{bad:?}");
        }
        assert!(RoomName::parse(&"я".repeat(64)).is_ok());
        // Joiners are part of the spelling, in Persian and in families of emoji.
        for good in ["می\u{200c}خواهم", "👩\u{200d}👧", "a.b", "...", "è&ü=+;,@!'()*", "日本語"]
        {
            assert!(RoomName::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_id_with_a_hash_finds_its_room_and_names_none() {
        let hashed = id("кухня");
        assert_eq!(RoomName::parse(&hashed), Err(MalformedRoomName));
        assert_eq!(RoomId::of(&hashed).unwrap().as_str(), hashed);
        assert_eq!(RoomId::of("кухня").unwrap().as_str(), hashed);
        assert!(RoomId::of("a/b").is_err());
    }
}
