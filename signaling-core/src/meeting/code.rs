//! Meeting codes, which people read aloud, type and paste.

use std::fmt;
use std::str::FromStr;

use crate::{Entropy, MalformedId};

/// No vowels, so that no code is a word and few chosen names are codes; and at most one character of each group that
/// looks alike (0 o, 1 i l, 2 z, 5 s, 6 g, 8 b, 9 q, u v).
const ALPHABET: &[u8; 23] = b"23456789cdfhjkmnprtvwxy";
/// 9 characters of log2(23) bits: 40.7 bits, less a thirtieth of a bit because each code has a digit.
const LENGTH: usize = 9;
/// Characters in a group.
const GROUP: usize = 3;

/// The code of a meeting: nine characters in three groups, as in `k7m-2xr-9dn`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeetingCode([u8; LENGTH]);

impl MeetingCode {
    /// A random code with at least one digit, which few chosen names have in such a place.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        let mut code = [0; LENGTH];
        loop {
            for place in &mut code {
                *place = letter(entropy);
            }
            if code.iter().any(u8::is_ascii_digit) {
                return Self(code);
            }
        }
    }

    /// Whether the text has exactly the form of a code, in either case: three groups of three with dashes between them.
    /// Such text is never the name of a room.
    pub fn is_shape(text: &str) -> bool {
        let is_group = |group: &str| {
            group.len() == GROUP && group.bytes().all(|b| ALPHABET.contains(&b.to_ascii_lowercase()))
        };
        text.split('-').count() == LENGTH / GROUP && text.split('-').all(is_group)
    }

    /// The code that a person meant by this text: in either case, with dashes and spaces anywhere or nowhere. Text with
    /// neither the [shape](Self::is_shape) nor a digit is a name.
    pub fn parse(text: &str) -> Option<Self> {
        let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
        if !has_digit && !Self::is_shape(text) {
            return None;
        }
        let mut letters = text.chars().filter(|c| !matches!(c, '-' | ' ' | '\u{2013}' | '\u{a0}'));
        let mut code = [0; LENGTH];
        for place in &mut code {
            let letter = u8::try_from(letters.next()?).ok()?.to_ascii_lowercase();
            *place = ALPHABET.contains(&letter).then_some(letter)?;
        }
        letters.next().is_none().then_some(Self(code))
    }
}

/// A uniformly random letter: bytes that would bias the choice are discarded.
fn letter(entropy: &mut dyn Entropy) -> u8 {
    let fair = u8::MAX - u8::MAX % 23;
    loop {
        let mut byte = [0];
        entropy.fill(&mut byte);
        let [byte] = byte;
        if byte < fair
            && let Some(letter) = ALPHABET.get(usize::from(byte % 23))
        {
            return *letter;
        }
    }
}

impl FromStr for MeetingCode {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        Self::parse(text).ok_or(MalformedId)
    }
}

/// Writes the code in groups, as people read it.
impl fmt::Display for MeetingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.chunks(GROUP).enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            f.write_str(std::str::from_utf8(group).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for MeetingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn a_code_is_known_however_it_is_written() {
        let code = MeetingCode::random(&mut SeededEntropy::new(4));
        let text = code.to_string();
        assert_eq!(text.len(), 11);
        let bare = text.replace('-', "");
        for written in
            [text.clone(), bare.clone(), bare.to_uppercase(), text.replace('-', " "), format!(" {text} ")]
        {
            assert_eq!(MeetingCode::parse(&written), Some(code), "{written}");
        }
    }

    #[test]
    fn names_of_rooms_are_no_codes() {
        for name in [
            "standup",
            "team-room",
            "meeting42",
            "abc-def-ghi",
            "k7m-2xr-9d",
            "k7m-2xr-9dnn",
            "k7m_2xr_9dn",
            "cdfhjkmnp",
            "cdf hjk mnp",
            "",
        ] {
            assert_eq!(MeetingCode::parse(name), None, "{name}");
            assert!(!MeetingCode::is_shape(name), "{name}");
        }
        // Older codes may have no digit.
        for code in ["k7m-2xr-9dn", "K7M-2XR-9DN", "cdf-hjk-mnp"] {
            assert!(MeetingCode::is_shape(code) && MeetingCode::parse(code).is_some(), "{code}");
        }
        for close in ["k7m2xr9dn", "k7m 2xr 9dn", "k7-m2x-r9dn"] {
            assert!(!MeetingCode::is_shape(close) && MeetingCode::parse(close).is_some(), "{close}");
        }
    }

    #[test]
    fn every_new_code_has_a_digit_and_the_shape() {
        let mut entropy = SeededEntropy::new(11);
        for _ in 0..2_000 {
            let code = MeetingCode::random(&mut entropy).to_string();
            assert!(code.bytes().any(|byte| byte.is_ascii_digit()) && MeetingCode::is_shape(&code), "{code}");
        }
    }

    #[test]
    fn all_letters_are_used_alike() {
        let mut entropy = SeededEntropy::new(9);
        let mut counts = [0_u32; 256];
        for _ in 0..2_300 {
            for letter in MeetingCode::random(&mut entropy).0 {
                counts[usize::from(letter)] += 1;
            }
        }
        for letter in ALPHABET {
            let count = counts[usize::from(*letter)];
            assert!((750..1_050).contains(&count), "{} came {count} times of 900", char::from(*letter));
        }
    }
}
