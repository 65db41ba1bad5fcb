//! The origin of links in responses.

use http_api::Caller;
use signaling_core::{Code, Refusal};

use crate::access::Principal;
use crate::service::Meetings;

impl Meetings {
    /// The origin of links that the caller passes on to others. A program may use a host name that works only on its
    /// own machine, or send no host at all.
    pub(super) fn lasting_origin(&self, caller: &Caller, principal: &Principal) -> Result<String, Refusal> {
        let is_program = matches!(principal, Principal::Key(_)) && !caller.is_own_page();
        let is_known = self.inner.public_url.is_some()
            // If the accept loop supplies no client address, links are the embedder's responsibility.
            || caller.ip.is_none()
            || (caller.own_origin.is_some() && (!is_program || caller.is_at_home()));
        if is_known {
            return Ok(self.origin(caller));
        }
        Err(Refusal::new(
            Code::InvalidState,
            "nobody knows by which address people reach this server: its operator sets `--public-url`",
        ))
    }

    /// The origin of links: the configured one, otherwise that of the request.
    pub(super) fn origin(&self, caller: &Caller) -> String {
        let own = self.inner.public_url.as_ref().or(caller.own_origin.as_ref());
        own.cloned().unwrap_or_default()
    }
}
