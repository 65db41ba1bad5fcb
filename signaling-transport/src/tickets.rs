//! Tickets for event streams: a query is written down in places where a session's secret must not be, so that what stands
//! there is good once and for a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signaling_core::{Code, Refusal, TicketClaims, Timestamp};

/// How long a ticket is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);
/// Redeemed tickets that are remembered until they expire.
const REMEMBERED: usize = 100_000;

/// The tickets that have been redeemed and would still be good.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<HashMap<String, Timestamp>>);

impl Tickets {
    /// Takes a ticket, which is good no more.
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
