//! Limits on how often one address may open sessions, and guess codes and passwords.
//!
//! An address uses up only its own allowance. A room's limit for all addresses together is much wider.

use std::net::IpAddr;
use std::time::Duration;

use rate_limit::{Buckets, Rate, network};
use signaling_core::{Refusal, Timestamp};

/// The most networks that are remembered.
const REMEMBERED: usize = 10_000;

/// Limits on the sessions that one address opens. Many users behind one address, as in a school, are normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Sessions in a burst.
    pub burst: u32,
    /// Sessions per second, over longer times.
    pub per_second: u32,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { burst: 500, per_second: 50 }
    }
}

/// Counts attempts by address, IPv6 by /64.
#[derive(Debug)]
pub(crate) struct AddressLimit {
    buckets: Buckets<IpAddr, Timestamp>,
    refusal: &'static str,
}

impl AddressLimit {
    /// Limits joins and resumes.
    pub(crate) fn on_sessions(limits: GateLimits) -> Self {
        let rate = Rate::per_second(limits.per_second.into(), limits.burst.into());
        Self::new(rate, "too many sessions from your address; wait a little")
    }

    /// Limits wrong codes. A class that copies a code from the board goes wrong a few times.
    pub(crate) fn on_codes() -> Self {
        let rate = Rate::every(Duration::from_secs(3), 20);
        Self::new(rate, "too many wrong codes from your address; wait a little")
    }

    /// Limits wrong passwords.
    pub(crate) fn on_passwords() -> Self {
        let rate = Rate::every(Duration::from_secs(6), 10);
        Self::new(rate, "too many wrong passwords from your address; wait a little")
    }

    fn new(rate: Rate, refusal: &'static str) -> Self {
        Self { buckets: Buckets::new(rate, REMEMBERED), refusal }
    }

    /// Counts one attempt, or refuses it. A guess counts before its outcome is known, so simultaneous guesses gain
    /// nothing.
    pub(crate) fn take(&self, now: Timestamp, ip: Option<IpAddr>) -> Result<(), Refusal> {
        let Some(ip) = ip else { return Ok(()) };
        let taken = self.buckets.take(now, network(ip));
        taken.map_err(|wait| Refusal::rate_limited(wait, self.refusal))
    }

    /// Takes back one attempt, because the guess was right.
    pub(crate) fn give_back(&self, ip: Option<IpAddr>) {
        if let Some(ip) = ip {
            self.buckets.give_back(&network(ip));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_shares_its_allowance_and_others_do_not_suffer() {
        let gate = AddressLimit::on_sessions(GateLimits { burst: 2, per_second: 1 });
        assert!(gate.take(NOW, Some(ip("2001:db8::1"))).is_ok());
        assert!(gate.take(NOW, Some(ip("2001:db8::ffff:1"))).is_ok());
        let refusal = gate.take(NOW, Some(ip("2001:db8::2"))).unwrap_err();
        assert_eq!(refusal.retry_after_ms, Some(1_000));
        assert!(gate.take(NOW, Some(ip("2001:db8:0:1::1"))).is_ok());
        assert!(gate.take(NOW + Duration::from_secs(1), Some(ip("2001:db8::2"))).is_ok());
    }

    #[test]
    fn wrong_codes_run_out_and_right_ones_do_not() {
        let guesses = AddressLimit::on_codes();
        let own = Some(ip("192.0.2.7"));
        for _ in 0..60 {
            guesses.take(NOW, own).unwrap();
            guesses.give_back(own);
        }
        for _ in 0..20 {
            guesses.take(NOW, own).unwrap();
        }
        assert_eq!(guesses.take(NOW, own).unwrap_err().retry_after_ms, Some(3_000));
        assert!(guesses.take(NOW, Some(ip("192.0.2.8"))).is_ok(), "others do not suffer");
        assert!(guesses.take(NOW + Duration::from_secs(3), own).is_ok());
    }
}
