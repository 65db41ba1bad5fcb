//! The outbox, emptied: what is about one meeting in order, what is about others beside it.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use signaling_core::Timestamp;
use tokio::task::JoinSet;

use super::sender::Sender;
use super::signature::signatures;
use crate::service::Meetings;
use crate::store::{Delivery, Outcome, StoreError, explain};

/// Attempts at once, and of these to one endpoint: one that hangs leaves room for others.
const AT_ONCE: usize = 32;
const TO_ONE: usize = 4;
/// How long an attempt keeps its message from being taken up again: longer than it may last.
const LEASE: Duration = Duration::from_secs(30);
/// How long a message waits whose endpoint has enough to do.
const TURN: Duration = Duration::from_millis(500);
/// How often it is looked whether something is due, if nothing new comes.
const LOOK: Duration = Duration::from_secs(1);
/// When to try again, in seconds after each attempt: for three days and some hours.
const RETRIES: &[u64] = &[
    1, 2, 5, 10, 30, 60, 120, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 43_200, 43_200, 43_200,
    43_200,
];
/// Gone: the receiver wants nothing any more.
const GONE: u16 = 410;

/// Sends what is in the outbox, for as long as the process lives.
pub(crate) async fn dispatch(meetings: Meetings) {
    let sender = Sender::new(meetings.inner.private_webhooks);
    let mut attempts: JoinSet<String> = JoinSet::new();
    let mut busy: HashMap<String, usize> = HashMap::new();
    let store = &meetings.inner.store;
    while let Err(error) = store.patiently(store.hurry(meetings.now())).await {
        tracing::debug!(error = explain(&error), "cannot look what is to be sent");
        tokio::time::sleep(LOOK).await;
    }
    loop {
        if let Err(error) = take_up(&meetings, &sender, &mut attempts, &mut busy).await {
            tracing::debug!(error = explain(&error), "cannot look what is to be sent");
            tokio::time::sleep(LOOK).await;
        }
        tokio::select! {
            () = meetings.inner.outbox.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            Some(ended) = attempts.join_next(), if !attempts.is_empty() => {
                if let Ok(endpoint) = ended
                    && let Some(count) = busy.get_mut(&endpoint)
                {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        busy.remove(&endpoint);
                    }
                }
            }
        }
    }
}

async fn take_up(
    meetings: &Meetings,
    sender: &Sender,
    attempts: &mut JoinSet<String>,
    busy: &mut HashMap<String, usize>,
) -> Result<(), StoreError> {
    let free = AT_ONCE.saturating_sub(attempts.len());
    if free == 0 {
        return Ok(());
    }
    let store = &meetings.inner.store;
    let now = meetings.now();
    let due = store.patiently(store.sendable(now, u32::try_from(free).unwrap_or(1))).await?;
    for delivery in due {
        let at_work = busy.entry(delivery.endpoint.clone()).or_insert(0);
        if *at_work >= TO_ONE {
            store.patiently(store.postpone(&delivery.id, now + TURN)).await?;
            continue;
        }
        store.patiently(store.postpone(&delivery.id, now + LEASE)).await?;
        *at_work += 1;
        let (meetings, sender) = (meetings.clone(), sender.clone());
        attempts.spawn(async move {
            if let Err(error) = attempt(&meetings, &sender, &delivery).await {
                tracing::warn!(
                    error = explain(&error),
                    delivery = delivery.id,
                    "what came of a webhook is not kept"
                );
            }
            delivery.endpoint
        });
    }
    Ok(())
}

async fn attempt(meetings: &Meetings, sender: &Sender, delivery: &Delivery) -> Result<(), StoreError> {
    let store = &meetings.inner.store;
    let endpoint = store.patiently(store.endpoint(&delivery.endpoint)).await?;
    let Some(endpoint) = endpoint.filter(|endpoint| endpoint.disabled_at.is_none()) else {
        let error = Some("the endpoint was switched off".to_owned());
        let outcome = Outcome { status: None, error, retry_at: None, delivered: false };
        return store.patiently(store.note(&delivery.id, &outcome, meetings.now())).await;
    };
    let signed_at = meetings.now();
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
    let sent = sender.send(&endpoint.url, &headers, &delivery.body).await;
    let now = meetings.now();
    let outcome =
        outcome(sent.as_ref().map(|status| *status).map_err(ToString::to_string), delivery.attempts, now);
    tell(&endpoint.url, delivery, &outcome);
    if outcome.status == Some(GONE) {
        store.patiently(store.disable_endpoint(&endpoint.id, now)).await?;
    }
    store.patiently(store.note(&delivery.id, &outcome, now)).await
}

/// Says in the log when a receiver begins to fail, when it is given up, and when it is back. Of its URL the host alone: the rest
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

/// What is to become of a message after an attempt, the first being number 0.
fn outcome(sent: Result<u16, String>, attempt: u32, now: Timestamp) -> Outcome {
    let retry_at = || {
        let wait = usize::try_from(attempt).ok().and_then(|attempt| RETRIES.get(attempt))?;
        Some(now + Duration::from_secs(*wait))
    };
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
