//! The ICE session of one connection: our credentials, and the paths that the client's checks have validated.

use std::net::SocketAddr;

use datagrams::Batch;

use crate::ice::{Check, Credentials, Verdict};
use crate::path::Path;
use crate::time::Micros;

/// Paths of one client that may be valid at the same time.
const MAX_PATHS: usize = 16;

/// A lite agent's session (RFC 8445 section 2.5).
pub(crate) struct IceSession {
    /// The newest last; an older one stays until the newest is used (RFC 8445 section 9).
    credentials: Vec<Credentials>,
    /// The client's user name fragment: another one is an ICE restart.
    pub(crate) remote_ufrag: String,
    /// The newest last.
    valid: Vec<Path>,
    /// The path that the client nominated, or that its newest media came by.
    selected: Option<Path>,
    last_check: Micros,
}

/// What a valid check has changed.
pub(crate) struct Checked {
    /// The check is the first one that makes a path valid.
    pub(crate) is_first_path: bool,
    /// The address was not known before.
    pub(crate) is_new_path: bool,
    /// The oldest address, which gave way to it.
    pub(crate) evicted: Option<SocketAddr>,
    /// User name fragments from before the restart that the client has now carried out.
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

    /// The credentials that our descriptions carry.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.last()
    }

    /// All user name fragments by which checks find this session.
    pub(crate) fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.credentials.iter().map(|credentials| credentials.ufrag.as_str())
    }

    /// The addresses of all valid paths.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.valid.iter().map(|path| path.remote)
    }

    /// Where to send: the selected path, or before there is one the newest valid one.
    pub(crate) fn destination(&self) -> Option<Path> {
        self.selected.or_else(|| self.valid.last().copied())
    }

    /// When the last check was valid, or the session began.
    pub(crate) fn last_check(&self) -> Micros {
        self.last_check
    }

    /// The client sends media from here, so this is where it is reached.
    pub(crate) fn select(&mut self, path: Path) {
        self.selected = Some(path);
    }

    /// Answers a check that names `ufrag`. `None` when it changes nothing.
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
        // The client uses the credentials of the restart: those before it are over.
        let retired: Vec<_> = self.credentials.drain(..at).collect();
        if !retired.is_empty() {
            self.selected = None;
        }
        let is_first_path = self.valid.is_empty();
        let is_new_path = !self.valid.contains(&path);
        let mut evicted = None;
        if is_new_path {
            if self.valid.len() >= MAX_PATHS {
                evicted = Some(self.valid.remove(0).remote);
            }
            self.valid.push(path);
        }
        if nominated {
            self.selected = Some(path);
        }
        Some(Checked { is_first_path, is_new_path, evicted, retired })
    }

    /// An ICE restart: `fresh` stands beside what the client uses until it uses `fresh`. Returns the credentials of restarts before
    /// this one that were never used, so that repeated restarts leave one pair.
    pub(crate) fn restart(&mut self, fresh: Credentials, remote_ufrag: &str) -> Vec<Credentials> {
        let unused = self.credentials.drain(1..).collect();
        self.credentials.push(fresh);
        remote_ufrag.clone_into(&mut self.remote_ufrag);
        unused
    }

    /// The address belongs to another client now, as happens behind a NAT that was restarted.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.valid.retain(|path| path.remote != address);
        self.selected = self.selected.filter(|path| path.remote != address);
    }

    /// Consent has expired: no path is valid until the next check (RFC 7675). Returns the addresses that were.
    pub(crate) fn expire(&mut self) -> Vec<Path> {
        self.selected = None;
        std::mem::take(&mut self.valid)
    }
}
