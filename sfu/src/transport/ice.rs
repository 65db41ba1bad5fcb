//! The ICE session of one connection: the server's credentials, and the paths validated by the client's checks.

use datagrams::Batch;

use crate::ice::{Check, Credentials, Verdict};
use crate::path::{Path, Source};
use crate::time::Micros;

/// Maximum number of paths of one client that are valid at the same time.
const MAX_PATHS: usize = 16;

/// A lite agent's session (RFC 8445 section 2.5).
pub(crate) struct IceSession {
    /// The newest credentials are last; the previous ones are kept until the client uses the new
    /// ones (RFC 8445 section 9).
    credentials: Vec<Credentials>,
    /// The client's user name fragment; a different one means an ICE restart.
    pub(crate) remote_ufrag: String,
    /// The valid paths, the newest last.
    valid: Vec<Path>,
    /// The path that the client nominated, or on which its newest media arrived.
    selected: Option<Path>,
    last_check: Micros,
}

/// The changes caused by a valid check.
pub(crate) struct Checked {
    /// Whether no path was valid before this check.
    pub(crate) is_first_path: bool,
    /// Whether the path was not valid before this check.
    pub(crate) is_new_path: bool,
    /// The source of the oldest path, if it was evicted in favor of the new one.
    pub(crate) evicted: Option<Source>,
    /// The credentials from before an ICE restart that this check has completed.
    pub(crate) retired: Vec<Credentials>,
}

impl IceSession {
    pub(crate) fn new(now: Micros, credentials: Credentials, remote_ufrag: String) -> Self {
        Self {
            credentials: vec![credentials],
            remote_ufrag,
            valid: Vec::new(),
            selected: None,
            last_check: now,
        }
    }

    /// The credentials in our descriptions.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.last()
    }

    /// All user name fragments that select this session.
    pub(crate) fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.credentials.iter().map(|credentials| credentials.ufrag.as_str())
    }

    /// The sources of all valid paths.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> {
        self.valid.iter().map(Path::source)
    }

    /// The path to send on: the selected one, or the newest valid one if none is selected.
    pub(crate) fn destination(&self) -> Option<Path> {
        self.selected.or_else(|| self.valid.last().copied())
    }

    /// The time of the last valid check, or of the start of the session.
    pub(crate) fn last_check(&self) -> Micros {
        self.last_check
    }

    /// Selects the path on which the client's media arrives.
    pub(crate) fn select(&mut self, path: Path) {
        self.selected = Some(path);
    }

    /// Answers a check that names `ufrag`. `None` if the check is not valid.
    pub(crate) fn on_check(
        &mut self,
        now: Micros,
        path: Path,
        check: &Check<'_>,
        ufrag: &str,
        egress: &mut Batch<Path>,
    ) -> Option<Checked> {
        let at = self.credentials.iter().position(|known| known.ufrag == ufrag)?;
        let credentials = self.credentials.get(at)?;
        let verdict = check.verify(credentials);
        let mut response = [0; 128];
        let len = check.respond(verdict, path.remote, credentials, &mut response);
        if let Some(response) = len.and_then(|len| response.get(..len)) {
            egress.push(path, [response]);
        }
        let Verdict::Valid { nominated } = verdict else { return None };
        self.last_check = now;
        // The client uses the new credentials, so the older ones are retired.
        let retired: Vec<_> = self.credentials.drain(..at).collect();
        if !retired.is_empty() {
            self.selected = None;
        }
        let is_first_path = self.valid.is_empty();
        let is_new_path = !self.valid.contains(&path);
        let mut evicted = None;
        if is_new_path {
            if self.valid.len() >= MAX_PATHS {
                evicted = Some(self.valid.remove(0).source());
            }
            self.valid.push(path);
        }
        if nominated {
            self.selected = Some(path);
        }
        Some(Checked { is_first_path, is_new_path, evicted, retired })
    }

    /// Restarts ICE: `fresh` is valid in addition to the credentials in use until the client uses it. Returns the
    /// credentials of earlier restarts that were never used, so that repeated restarts keep only one new pair.
    pub(crate) fn restart(&mut self, fresh: Credentials, remote_ufrag: &str) -> Vec<Credentials> {
        let unused = self.credentials.drain(1..).collect();
        self.credentials.push(fresh);
        remote_ufrag.clone_into(&mut self.remote_ufrag);
        unused
    }

    /// Removes an address that now belongs to another client, as happens after the restart of a NAT.
    pub(crate) fn forget(&mut self, source: Source) {
        self.valid.retain(|path| path.source() != source);
        self.selected = self.selected.filter(|path| path.source() != source);
    }

    /// Ends all valid paths until the next check because consent has expired (RFC 7675). Returns those paths.
    pub(crate) fn expire(&mut self) -> Vec<Path> {
        self.selected = None;
        std::mem::take(&mut self.valid)
    }
}

/// The user name fragments of credentials.
pub(crate) fn ufrags(credentials: &[Credentials]) -> impl Iterator<Item = &str> {
    credentials.iter().map(|credentials| credentials.ufrag.as_str())
}
