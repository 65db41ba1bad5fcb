//! Credentials: ephemeral ones derived from a shared secret, and static users.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::wire::{Key, PasswordAlgorithm, userhash};

/// A user name and password that expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EphemeralCredentials {
    /// `expires ":" user`
    pub username: String,
    /// `base64(HMAC-SHA1(secret, username))`
    pub password: String,
}

/// Credentials by the "REST API for access to TURN services" convention, good until `expires` (seconds since 1970).
///
/// Any TURN server that was given the same secret takes them; coturn calls this `use-auth-secret`. An empty `user` leaves
/// the expiry alone as the name.
pub fn ephemeral(secret: &str, user: &str, expires: u64) -> EphemeralCredentials {
    let username = if user.is_empty() { expires.to_string() } else { format!("{expires}:{user}") };
    let password = ephemeral_password(secret, username.as_bytes());
    EphemeralCredentials { username, password }
}

fn ephemeral_password(secret: &str, username: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username))
}

/// The expiry in the name of ephemeral credentials, and the user after it.
fn split_ephemeral(username: &str) -> Option<(u64, &str)> {
    let (expires, user) = username.split_once(':').unwrap_or((username, ""));
    if expires.is_empty() || !expires.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((expires.parse().ok()?, user))
}

/// A user with a password that does not expire.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticUser {
    /// The name.
    pub username: String,
    /// The password, in the clear: both keys are made of it.
    pub password: String,
}

impl std::fmt::Debug for StaticUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticUser").field("username", &self.username).finish_non_exhaustive()
    }
}

/// All credentials that the server accepts.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Shared secrets; more than one while a secret is being replaced.
    pub secrets: Vec<String>,
    /// Users with passwords. They take precedence over the secrets.
    pub users: Vec<StaticUser>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("users", &self.users).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The user of these that a USERHASH names. Names with an expiry can't be found so: they are not known in advance.
    pub(crate) fn by_userhash(&self, hash: &[u8], realm: &[u8]) -> Option<&StaticUser> {
        self.users.iter().find(|user| userhash(user.username.as_bytes(), realm) == hash)
    }

    /// The keys that would be right for `username` at `unix_seconds`: one per secret, or one of a static user.
    pub(crate) fn keys<'a>(
        &'a self,
        algorithm: PasswordAlgorithm,
        username: &'a str,
        realm: &'a [u8],
        unix_seconds: u64,
    ) -> impl Iterator<Item = Key> + 'a {
        let user = self.users.iter().find(|user| user.username == username);
        let is_current = split_ephemeral(username).is_some_and(|(expires, _)| expires > unix_seconds);
        let secrets = if user.is_none() && is_current { self.secrets.as_slice() } else { &[] };
        let fixed =
            user.map(move |user| Key::new(algorithm, username.as_bytes(), realm, user.password.as_bytes()));
        fixed.into_iter().chain(secrets.iter().map(move |secret| {
            let password = ephemeral_password(secret, username.as_bytes());
            Key::new(algorithm, username.as_bytes(), realm, password.as_bytes())
        }))
    }

    /// The part of a name that quotas count by: without the expiry, so that new credentials bring no new quota.
    pub(crate) fn quota_name<'a>(&self, username: &'a str) -> &'a str {
        if self.users.iter().any(|user| user.username == username) {
            return username;
        }
        split_ephemeral(username).map_or(username, |(_, user)| user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ephemeral_password_is_that_of_other_implementations() {
        // printf '1700000000:alice' | openssl dgst -sha1 -hmac north -binary | base64
        let pair = ephemeral("north", "alice", 1_700_000_000);
        assert_eq!(pair.username, "1700000000:alice");
        assert_eq!(pair.password, "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
    }

    #[test]
    fn expired_and_malformed_names_have_no_key() {
        let credentials = Credentials { secrets: vec!["north".into()], users: vec![] };
        let count = |name: &str, at| credentials.keys(PasswordAlgorithm::Md5, name, b"r", at).count();
        assert_eq!(count("100:alice", 99), 1);
        assert_eq!(count("100:alice", 100), 0);
        assert_eq!(count("100", 99), 1);
        for name in ["alice", "", ":alice", "+100:alice", "-1:alice", "99999999999999999999:alice"] {
            assert_eq!(count(name, 0), 0, "{name}");
        }
    }

    #[test]
    fn quotas_ignore_the_expiry() {
        let users = vec![StaticUser { username: "1:one".into(), password: "p".into() }];
        let credentials = Credentials { secrets: vec!["north".into()], users };
        assert_eq!(credentials.quota_name("100:alice"), "alice");
        assert_eq!(credentials.quota_name("200:alice"), "alice");
        assert_eq!(credentials.quota_name("1:one"), "1:one");
    }
}
