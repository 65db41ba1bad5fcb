//! Delivers webhooks to their receivers: those of one meeting in order, those of different meetings concurrently.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use signaling_core::{Timestamp, WallClock};

use super::sender::Sender;
use super::server::OWNER;
use super::signature::signatures;
use crate::outbox::{Courier, retry_at};
use crate::store::{Delivery, Outbox, Outcome, Store, StoreError};

/// Retry delays in seconds after each attempt: a little over three days in total.
const RETRIES: &[u64] = &[
    1, 2, 5, 10, 30, 60, 120, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 43_200, 43_200, 43_200,
    43_200,
];
/// Gone: the receiver no longer accepts webhooks.
const GONE: u16 = 410;

/// Delivers messages to webhook receivers.
#[derive(Clone)]
pub(crate) struct Messenger {
    sender: Sender,
    /// To the receiver that the operator has chosen.
    own: Sender,
    store: Arc<Store>,
    clock: Arc<dyn WallClock>,
}

impl Messenger {
    /// Creates a courier for public addresses and, with `may_be_private`, all others.
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn WallClock>, may_be_private: bool) -> Self {
        let sender = Sender::new(may_be_private);
        Self { own: sender.clone().with_private_addresses(), sender, store, clock }
    }
}

impl Courier for Messenger {
    type Entry = Delivery;

    const OUTBOX: Outbox = Outbox::Deliveries;
    const AT_ONCE: usize = 32;
    const TO_ONE: usize = 4;
    const LEASE: Duration = Duration::from_secs(30);

    async fn claim(&self, now: Timestamp, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.store.claim_deliveries(now, now + Self::LEASE, limit).await
    }

    fn address(delivery: &Delivery) -> (&str, &str) {
        (&delivery.id, &delivery.endpoint)
    }

    async fn attempt(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let store = &self.store;
        let endpoint = store.endpoint(&delivery.endpoint).await?;
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.disabled_at.is_none()) else {
            let error = Some("the endpoint was switched off".to_owned());
            let outcome = Outcome { status: None, error, retry_at: None, delivered: false };
            return store.note(&delivery.id, &outcome, self.clock.now()).await;
        };
        let signed_at = self.clock.now();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", delivery.id.clone()),
            ("webhook-timestamp", (signed_at.as_millis() / 1_000).to_string()),
            ("webhook-signature", signatures(&endpoint, &delivery.id, signed_at, &delivery.body)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let sender = if endpoint.owner == OWNER { &self.own } else { &self.sender };
        let sent = sender.send(&endpoint.url, &headers, &delivery.body).await;
        let now = self.clock.now();
        let outcome = outcome(sent.map_err(|error| error.to_string()), delivery.attempts, now);
        tell(&endpoint.url, delivery, &outcome);
        if outcome.status == Some(GONE) {
            store.disable_endpoint(&endpoint.id, now).await?;
        }
        store.note(&delivery.id, &outcome, now).await
    }
}

/// Logs when a receiver begins to fail, is given up, or recovers. Only the host of its URL is logged, since the rest
/// may be secret.
fn tell(url: &str, delivery: &Delivery, outcome: &Outcome) {
    let host =
        url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default();
    let Delivery { meeting, kind, id, attempts, .. } = delivery;
    let error = outcome.error.as_deref().unwrap_or_default();
    match outcome {
        Outcome { delivered: true, .. } if *attempts > 0 => {
            tracing::info!(host, meeting, delivery = id, kind, attempts, "a receiver of webhooks is back");
        }
        Outcome { delivered: true, .. } => {}
        Outcome { status: Some(GONE), .. } => tracing::warn!(
            host,
            meeting,
            delivery = id,
            kind,
            error,
            "a receiver of webhooks wants nothing any more: it is sent nothing until its URL is named again"
        ),
        Outcome { retry_at: None, .. } => {
            tracing::warn!(host, meeting, delivery = id, kind, attempts, error, "a webhook is given up");
        }
        Outcome { .. } if *attempts == 0 => {
            tracing::warn!(
                host,
                meeting,
                delivery = id,
                kind,
                error,
                "a receiver of webhooks fails: it is tried again"
            );
        }
        Outcome { .. } => {
            tracing::debug!(
                host,
                meeting,
                delivery = id,
                kind,
                attempts,
                error,
                "a receiver of webhooks still fails"
            );
        }
    }
}

/// The next step for a message after an attempt; the first attempt is number 0.
fn outcome(sent: Result<u16, String>, attempt: u32, now: Timestamp) -> Outcome {
    let retry_at = || retry_at(RETRIES, attempt, now);
    match sent {
        Ok(status @ 200..=299) => {
            Outcome { status: Some(status), error: None, retry_at: None, delivered: true }
        }
        Ok(status) => {
            let error = Some(format!("the receiver answered {status}"));
            let retry_at = if status == GONE { None } else { retry_at() };
            Outcome { status: Some(status), error, retry_at, delivered: false }
        }
        Err(error) => Outcome { status: None, error: Some(error), retry_at: retry_at(), delivered: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_for_three_days_and_then_given_up() {
        let mut now = Timestamp::from_millis(0);
        let mut attempt = 0;
        while let Some(at) = outcome(Ok(500), attempt, now).retry_at {
            assert!(at > now);
            (now, attempt) = (at, attempt + 1);
        }
        assert!(now.since(Timestamp::from_millis(0)) > Duration::from_hours(72), "{now}");
        assert_eq!(outcome(Ok(410), 0, now).retry_at, None);
        assert!(outcome(Ok(204), 0, now).delivered);
        assert!(outcome(Ok(302), 0, now).retry_at.is_some(), "a redirect is not followed, and is no success");
    }
}
