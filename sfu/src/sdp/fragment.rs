//! The body of a trickle or restart request.

use super::SdpError;

/// The longest fragment that is read.
const MAX_FRAGMENT: usize = 64 * 1024;

/// The body of a trickle or restart request (RFC 8840). A lite agent only needs the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFragment {
    /// The user name fragment, if present.
    pub ufrag: Option<String>,
    /// Whether a valid password is present.
    pub has_password: bool,
    /// The number of candidates.
    pub candidates: usize,
}

impl RemoteFragment {
    /// Reads an SDP fragment.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_FRAGMENT {
            return Err(SdpError::TooLarge);
        }
        let mut fragment = Self { ufrag: None, has_password: false, candidates: 0 };
        if text.trim().is_empty() {
            return Err(SdpError::Malformed);
        }
        for line in text.lines().filter(|line| !line.is_empty()) {
            if line.get(1..2).is_none_or(|sign| sign != "=") {
                return Err(SdpError::Malformed);
            }
            if let Some(ufrag) = line.strip_prefix("a=ice-ufrag:").map(str::trim) {
                if !(4..=256).contains(&ufrag.len()) {
                    return Err(SdpError::Missing("ice-ufrag"));
                }
                fragment.ufrag.get_or_insert_with(|| ufrag.to_owned());
            } else if let Some(password) = line.strip_prefix("a=ice-pwd:") {
                fragment.has_password |= (22..=256).contains(&password.trim().len());
            } else if line.starts_with("a=candidate:") {
                fragment.candidates += 1;
            }
        }
        Ok(fragment)
    }
}
