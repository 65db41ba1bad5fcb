//! Tickets for event streams. A query may be logged where a session's secret must not appear, so a ticket is valid once
//! and briefly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signaling_core::{Code, Refusal, TicketClaims, Timestamp};

/// How long a ticket is valid.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);
/// Redeemed tickets that are remembered until they expire.
const REMEMBERED: usize = 100_000;

/// Redeemed tickets that have not expired.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<HashMap<String, Timestamp>>);

impl Tickets {
    /// Redeems a ticket, which is then no longer valid.
    pub(crate) fn redeem(&self, now: Timestamp, claims: &TicketClaims) -> Result<(), Refusal> {
        let expires_at = Timestamp::from_millis(claims.expires_at_ms);
        let spent = || Refusal::new(Code::Unauthorized, "the ticket has expired, or was used before");
        if expires_at <= now {
            return Err(spent());
        }
        let mut redeemed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if redeemed.len() >= REMEMBERED {
            redeemed.retain(|_, expires_at| *expires_at > now);
            if redeemed.len() >= REMEMBERED {
                return Err(Refusal::new(Code::Overloaded, "too many event streams begin at once"));
            }
        }
        match redeemed.insert(claims.ticket.clone(), expires_at) {
            None => Ok(()),
            Some(_) => Err(spent()),
        }
    }
}
