//! Delivers letters to the mail server, with a limited number of retries.

use std::sync::Arc;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{Address, AsyncTransport as _};
use signaling_core::{Timestamp, WallClock};

use super::Mailer;
use crate::outbox::{Courier, retry_at};
use crate::store::{Letter, Outbox, Store, StoreError, explain};

/// Time limit of an attempt.
const PATIENCE: Duration = Duration::from_mins(2);
/// Retry delays in seconds after each attempt: two days in total.
const RETRIES: &[u64] = &[2, 10, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 72_000];

/// Delivers letters to the mail server.
#[derive(Clone)]
pub(crate) struct Postman {
    pub(crate) mailer: Mailer,
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn WallClock>,
}

impl Courier for Postman {
    type Entry = Letter;

    const OUTBOX: Outbox = Outbox::Letters;
    const AT_ONCE: usize = 4;
    const TO_ONE: usize = Self::AT_ONCE;
    const LEASE: Duration = Duration::from_mins(5);

    async fn claim(&self, now: Timestamp, limit: u32) -> Result<Vec<Letter>, StoreError> {
        self.store.claim_letters(now, now + Self::LEASE, limit).await
    }

    fn address(letter: &Letter) -> (&str, &str) {
        (&letter.id, &letter.recipient)
    }

    async fn attempt(&self, letter: &Letter) -> Result<(), StoreError> {
        let sent = tokio::time::timeout(PATIENCE, send(&self.mailer, letter)).await;
        let (is_final, error) = match sent {
            Ok(Ok(())) => return self.store.forget_letter(&letter.id).await,
            Ok(Err(error)) => (error.is_final(), explain(&error)),
            Err(_) => (false, "no answer".to_owned()),
        };
        let Letter { id, meeting, .. } = letter;
        if let Some(at) = next_attempt(is_final, letter.attempts, self.clock.now()) {
            tracing::info!(meeting, error, "a letter waits: the mail server did not take it");
            return self.store.retry_letter(id, at).await;
        }
        tracing::warn!(meeting, error, "a letter is given up: the mail server refuses it");
        self.store.forget_letter(id).await
    }
}

/// Why a letter was not accepted.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("the recipient is no address")]
    Address(#[from] lettre::address::AddressError),
    #[error("the letter has no way")]
    Envelope(#[source] lettre::error::Error),
    #[error("the mail server")]
    Smtp(#[from] SmtpError),
}

impl PostError {
    /// Whether the letter itself was refused, so that a retry would not help.
    fn is_final(&self) -> bool {
        match self {
            Self::Address(_) | Self::Envelope(_) => true,
            // Login errors (RFC 4954 section 6) are for the operator to fix, and do not concern the letter.
            Self::Smtp(error) => {
                error.is_permanent()
                    && !error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538))
            }
        }
    }
}

async fn send(mailer: &Mailer, letter: &Letter) -> Result<(), PostError> {
    let recipient: Address = letter.recipient.parse()?;
    let envelope =
        Envelope::new(Some(mailer.from.email.clone()), vec![recipient]).map_err(PostError::Envelope)?;
    mailer.transport.send_raw(&envelope, letter.message.as_bytes()).await?;
    Ok(())
}

/// When to retry a letter that was not accepted; the first attempt is number 0.
fn next_attempt(is_final: bool, attempt: u32, now: Timestamp) -> Option<Timestamp> {
    if is_final { None } else { retry_at(RETRIES, attempt, now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_for_two_days_with_longer_and_longer_waits_and_then_given_up() {
        let (mut now, mut waits) = (Timestamp::from_millis(0), Vec::new());
        while let Some(at) = next_attempt(false, u32::try_from(waits.len()).unwrap(), now) {
            waits.push(at.since(now));
            now = at;
        }
        assert!(waits.is_sorted() && waits.len() == RETRIES.len());
        let whole = now.since(Timestamp::from_millis(0));
        assert!((Duration::from_hours(47)..Duration::from_hours(49)).contains(&whole), "{whole:?}");
        assert_eq!(next_attempt(true, 0, now), None, "what is refused for good is not tried again");
    }
}
