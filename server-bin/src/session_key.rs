//! The session key of a server, and its replacement.
//!
//! `session.key` is made at the first start. Its replacements are in `session.keys`, the newest first, and with them the
//! first one, until it is retired. From then on `session.key` is the key of digests alone.

use std::fs;
use std::io;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::rand;
use signaling_core::{KeyRing, ServerKey};
use signaling_transport::TokenMinter;

use crate::config::Settings;
use crate::data_dir::{DataDir, Secret};
use crate::keys;

const FIRST: &str = "session.key";
const REPLACEMENTS: &str = "session.keys";
/// The most keys at the same time: each is tried for what a newer one does not open.
const MAX_KEYS: usize = 8;

/// What is to be done with the session key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionKeyAsk {
    /// Make another one, and go on recognising what the earlier ones have sealed.
    Rotate,
    /// Forget all but the newest.
    Retire,
}

/// The keys of a server.
pub(crate) struct SessionKey(KeyRing);

impl SessionKey {
    /// The keys of the data folder, made if there are none, or the one that `--cluster-secret` gives.
    pub(crate) fn open(settings: &Settings, data: &DataDir) -> anyhow::Result<Self> {
        let digests = keys::key(settings, data, FIRST)?;
        let replacements = if settings.cluster_secret.is_some() { Vec::new() } else { replacements(data)? };
        let mut newest_first = replacements.into_iter();
        let newest = newest_first.next().unwrap_or(digests);
        Ok(Self(KeyRing { digests, newest, earlier: newest_first.collect() }))
    }

    pub(crate) fn server_key(&self) -> ServerKey {
        ServerKey::from_ring(&self.0)
    }

    pub(crate) fn minter(&self) -> TokenMinter {
        TokenMinter::new(self.0.newest, &self.0.earlier)
    }
}

/// Replaces the key, or retires the earlier ones. A running server uses the result from its next start on.
pub(crate) fn change(settings: &Settings, ask: SessionKeyAsk) -> anyhow::Result<String> {
    if settings.cluster_secret.is_some() {
        bail!("the key comes from --cluster-secret: change that one, on all servers at the same time");
    }
    let data = DataDir::existing(&settings.data_dir)?;
    ensure!(data.has(FIRST), "there is no {FIRST} in {} yet", settings.data_dir.display());
    let first = data.secret(FIRST)?;
    let mut newest_first = replacements(&data)?;
    match ask {
        SessionKeyAsk::Rotate => {
            if newest_first.is_empty() {
                newest_first.push(first);
            }
            ensure!(
                newest_first.len() < MAX_KEYS,
                "there are {MAX_KEYS} keys: retire the earlier ones first"
            );
            let mut newest = Secret::default();
            rand::fill(&mut newest).ok().context("the system gives no random bytes")?;
            newest_first.insert(0, newest);
        }
        SessionKeyAsk::Retire => {
            ensure!(newest_first.len() > 1, "there is one key, and no earlier one to retire");
            newest_first.truncate(1);
        }
    }
    let kept = data.replace(REPLACEMENTS, &newest_first.concat());
    kept.with_context(|| format!("cannot write {}", data.file(REPLACEMENTS).display()))?;
    Ok(match ask {
        SessionKeyAsk::Rotate => {
            "A new session key is there. Restart the server: sessions and links go on to work\n".to_owned()
        }
        SessionKeyAsk::Retire => {
            "The earlier session keys are retired. Restart the server: what they sealed opens nothing any more\n"
                .to_owned()
        }
    })
}

/// The keys that have replaced the first one, the newest first.
fn replacements(data: &DataDir) -> anyhow::Result<Vec<Secret>> {
    let path = data.file(REPLACEMENTS);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let (keys, rest) = bytes.as_chunks::<{ size_of::<Secret>() }>();
    ensure!(
        rest.is_empty() && !keys.is_empty() && keys.len() <= MAX_KEYS,
        "{} does not consist of keys of 32 bytes; restore it from a backup",
        path.display()
    );
    Ok(keys.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layers};

    fn settings(data_dir: &std::path::Path) -> Settings {
        let mut settings = Config::new(Layers::defaults()).unwrap().settings;
        settings.data_dir = data_dir.to_owned();
        settings
    }

    #[test]
    fn a_key_is_replaced_and_the_earlier_ones_are_kept_until_they_are_retired() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        assert!(change(&settings, SessionKeyAsk::Rotate).is_err(), "no server has run here");
        let data = DataDir::open(folder.path()).unwrap();
        let ring = || SessionKey::open(&settings, &data).unwrap().0;
        let first = ring();
        assert_eq!((first.newest, first.earlier.len()), (first.digests, 0));
        assert!(change(&settings, SessionKeyAsk::Retire).is_err());

        change(&settings, SessionKeyAsk::Rotate).unwrap();
        let second = ring();
        assert_eq!((second.digests, &second.earlier), (first.digests, &vec![first.newest]));
        assert_ne!(second.newest, first.newest);

        change(&settings, SessionKeyAsk::Rotate).unwrap();
        let third = ring();
        assert_eq!((third.digests, third.earlier), (first.digests, vec![second.newest, first.newest]));

        change(&settings, SessionKeyAsk::Retire).unwrap();
        let last = ring();
        assert_eq!((last.newest, last.digests, last.earlier.len()), (third.newest, first.digests, 0));
        (0..7).for_each(|_| drop(change(&settings, SessionKeyAsk::Rotate).unwrap()));
        let refusal = change(&settings, SessionKeyAsk::Rotate).unwrap_err();
        assert!(refusal.to_string().contains("retire"), "{refusal}");
    }

    #[test]
    fn a_damaged_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let settings = settings(folder.path());
        SessionKey::open(&settings, &data).unwrap();
        for content in [&b""[..], b"short", &[7; 33]] {
            fs::write(data.file(REPLACEMENTS), content).unwrap();
            assert!(SessionKey::open(&settings, &data).is_err());
            assert!(change(&settings, SessionKeyAsk::Rotate).is_err(), "and nothing is written over it");
        }
    }
}
