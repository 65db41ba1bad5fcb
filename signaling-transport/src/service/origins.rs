//! The origins whose pages may talk to the server, and the URL by which people reach it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_api::Caller;
use signaling_core::{Code, Refusal, Timestamp};

use crate::log_summary::LogSummary;

/// The origins of the server's own pages, and foreign ones that were allowed.
pub(crate) struct Origins {
    allowed: Vec<String>,
    is_own_name: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    public_url: Option<String>,
    /// Requests that were refused for their origin.
    refused: Mutex<LogSummary<Timestamp>>,
}

impl Origins {
    pub(super) fn new(
        allowed: Vec<String>,
        is_own_name: Arc<dyn Fn(&str) -> bool + Send + Sync>,
        public_url: Option<String>,
    ) -> Self {
        Self { allowed, is_own_name, public_url, refused: Mutex::default() }
    }

    /// The URL of a path of this server, for passing on to others. A program may use a name that resolves only where it
    /// runs, and a request without `Host` names none.
    pub(crate) fn link(&self, caller: &Caller, is_program: bool, path: &str) -> Result<String, Refusal> {
        let is_known = !is_program || caller.is_own_page() || caller.is_at_home();
        let own = caller.own_origin.as_deref().filter(|_| is_known);
        // If the accept loop does not report the caller, the embedder must complete the link.
        let unsaid = caller.ip.is_none().then_some("");
        let base = self.public_url.as_deref().or(own).or(unsaid).ok_or_else(|| {
            let why =
                "nobody knows by which address people reach this server: its operator sets `--public-url`";
            Refusal::new(Code::InvalidState, why)
        })?;
        Ok(format!("{base}{path}"))
    }

    /// Whether a page of the caller's origin may talk to the server: only its own, and those that were allowed.
    pub(crate) fn allows(&self, caller: &Caller) -> bool {
        let Some(origin) = caller.origin.as_deref() else { return true };
        let is_public = self.public().is_some_and(|own| own.eq_ignore_ascii_case(origin));
        let is_own = || caller.own_origin.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(origin));
        is_public || (is_own() && self.is_own_host(caller)) || self.allows_foreign(origin)
    }

    /// Whether the origin was explicitly allowed.
    pub(crate) fn allows_foreign(&self, origin: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    /// The origin that the server takes for its own, to be named in a refusal.
    pub(crate) fn own(&self, caller: &Caller) -> Option<String> {
        self.public().map(str::to_owned).or_else(|| caller.own_origin.clone())
    }

    /// Counts a refused request. Returns the count since the last log message when the next one is due.
    pub(crate) fn count_refused(&self, now: Timestamp) -> Option<u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).count(now)
    }

    /// The configured origin of the server, if there is one.
    fn public(&self) -> Option<&str> {
        let url = self.public_url.as_deref()?;
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        url.get(..scheme.len() + "://".len() + authority.len())
    }

    /// Whether the host in a request certainly means this server. Any name can be made to resolve to its address, so
    /// only an address, `localhost` or a name of its certificate proves it.
    fn is_own_host(&self, caller: &Caller) -> bool {
        let Some(host) = caller.reached_at() else { return false };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        address.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || (self.is_own_name)(&host)
    }
}
