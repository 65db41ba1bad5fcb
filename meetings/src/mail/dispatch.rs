//! Letters on their way to the mail server: a few at once, again and again until they are taken, and not for ever.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{Address, AsyncTransport as _};
use signaling_core::Timestamp;
use tokio::task::JoinSet;

use super::{Letter, Mailer};
use crate::service::Meetings;
use crate::store::{StoreError, explain};

/// Connections to the mail server at once.
const AT_ONCE: usize = 4;
/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long an attempt keeps its letter from being taken up again: longer than it may last.
const LEASE: Duration = Duration::from_mins(5);
/// How often it is looked whether something is due, if nothing new comes.
const LOOK: Duration = Duration::from_secs(1);
/// When to try again, in seconds after each attempt: for two days.
const RETRIES: &[u64] = &[2, 10, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 72_000];

/// What is to become of a letter after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    Again(Timestamp),
    GivenUp,
}

/// Posts what is in the outbox, for as long as the process lives.
pub(crate) async fn dispatch(meetings: Meetings, mailer: Mailer) {
    let mut attempts = JoinSet::new();
    let store = &meetings.inner.store;
    // A process that begins knows nothing of the attempts of the one before.
    while let Err(error) = store.patiently(store.hurry_letters(meetings.now())).await {
        tracing::debug!(error = explain(&error), "cannot look what is to be posted");
        tokio::time::sleep(LOOK).await;
    }
    loop {
        if let Err(error) = take_up(&meetings, &mailer, &mut attempts).await {
            tracing::debug!(error = explain(&error), "cannot look what is to be posted");
            tokio::time::sleep(LOOK).await;
        }
        tokio::select! {
            () = meetings.inner.postbox.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            Some(_) = attempts.join_next(), if !attempts.is_empty() => {}
        }
    }
}

async fn take_up(meetings: &Meetings, mailer: &Mailer, attempts: &mut JoinSet<()>) -> Result<(), StoreError> {
    let free = AT_ONCE.saturating_sub(attempts.len());
    if free == 0 {
        return Ok(());
    }
    let store = &meetings.inner.store;
    let now = meetings.now();
    for letter in store.patiently(store.letters_due(now, u32::try_from(free).unwrap_or(1))).await? {
        store.patiently(store.postpone_letter(&letter.id, now + LEASE)).await?;
        let (meetings, mailer) = (meetings.clone(), mailer.clone());
        attempts.spawn(async move {
            if let Err(error) = post(&meetings, &mailer, &letter).await {
                // It is sent once more when the lease is over: twice is better than never.
                tracing::warn!(error = explain(&error), "what came of a letter is not noted");
            }
        });
    }
    Ok(())
}

async fn post(meetings: &Meetings, mailer: &Mailer, letter: &Letter) -> Result<(), StoreError> {
    let sent = tokio::time::timeout(PATIENCE, send(mailer, letter)).await;
    let now = meetings.now();
    let fate = match &sent {
        Ok(Ok(())) => Fate::Sent,
        Ok(Err(error)) => fate(error.is_final(), letter.attempts, now),
        Err(_) => fate(false, letter.attempts, now),
    };
    let why = match &sent {
        Ok(Ok(())) => String::new(),
        Ok(Err(error)) => explain(error),
        Err(_) => "no answer".to_owned(),
    };
    let store = &meetings.inner.store;
    match fate {
        Fate::Sent => store.patiently(store.forget_letter(&letter.id)).await,
        Fate::Again(at) => {
            tracing::info!(
                meeting = letter.meeting,
                error = why,
                "a letter waits: the mail server did not take it"
            );
            store.patiently(store.retry_letter(&letter.id, at)).await
        }
        Fate::GivenUp => {
            tracing::warn!(
                meeting = letter.meeting,
                error = why,
                "a letter is given up: the mail server refuses it"
            );
            store.patiently(store.forget_letter(&letter.id)).await
        }
    }
}

/// Why a letter was not taken.
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
    /// Whether it is the letter that is refused, which another attempt would not change.
    fn is_final(&self) -> bool {
        match self {
            Self::Address(_) | Self::Envelope(_) => true,
            // What concerns the login (RFC 4954 section 6) is the operator's to mend, and says nothing of the letter.
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

/// What is to become of a letter that was not taken, the first attempt being number 0.
fn fate(is_final: bool, attempt: u32, now: Timestamp) -> Fate {
    let wait = usize::try_from(attempt).ok().and_then(|attempt| RETRIES.get(attempt));
    match wait {
        Some(wait) if !is_final => Fate::Again(now + Duration::from_secs(*wait)),
        _ => Fate::GivenUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_for_two_days_with_longer_and_longer_waits_and_then_given_up() {
        let (mut now, mut waits) = (Timestamp::from_millis(0), Vec::new());
        for attempt in 0.. {
            let Fate::Again(at) = fate(false, attempt, now) else { break };
            waits.push(at.since(now));
            now = at;
        }
        assert!(waits.is_sorted() && waits.len() == RETRIES.len());
        let whole = now.since(Timestamp::from_millis(0));
        assert!((Duration::from_hours(47)..Duration::from_hours(49)).contains(&whole), "{whole:?}");
        assert_eq!(fate(true, 0, now), Fate::GivenUp, "what is refused for good is not tried again");
    }
}
