//! The keys of a server: derived from `--cluster-secret`, or made once and kept in the data folder.

use anyhow::Context as _;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::config::Settings;
use crate::data_dir::{DataDir, Secret};

/// The key of this name: the name of its file in the data folder.
pub(crate) fn key(settings: &Settings, data: &DataDir, name: &str) -> anyhow::Result<Secret> {
    match &settings.cluster_secret {
        Some(secret) => derived(&secret.0.0, name),
        None => Ok(data.secret(name)?),
    }
}

/// Whether the key of this name is there already, or needs no keeping.
pub(crate) fn is_there(settings: &Settings, data: &DataDir, name: &str) -> bool {
    settings.cluster_secret.is_some() || data.has(name)
}

/// A key of 32 bytes (HKDF, RFC 5869, with SHA-256).
fn derived(secret: &str, name: &str) -> anyhow::Result<Secret> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            size_of::<Secret>()
        }
    }
    let from = Salt::new(HKDF_SHA256, b"visavis").extract(secret.as_bytes());
    let mut key = Secret::default();
    let info = [name.as_bytes()];
    let filled = from.expand(&info, Length).and_then(|okm| okm.fill(&mut key));
    filled.ok().context("a key cannot be derived")?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_secret_gives_each_server_the_same_keys_and_each_purpose_its_own() {
        let derived = |secret, name| derived(secret, name).unwrap();
        let key = derived("sixteen letters.", "session.key");
        assert_eq!(key, derived("sixteen letters.", "session.key"));
        assert_ne!(key, derived("sixteen letters.", "turn.key"));
        assert_ne!(key, derived("sixteen letters!", "session.key"));
    }
}
