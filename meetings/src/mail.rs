//! Invitations by mail.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::sync::mpsc;

use crate::calendar::{self, Purpose};
use crate::meeting::{Attendee, Meeting, Status, in_calendar};
use crate::store::explain;

/// Letters that wait for the mail server.
const WAITING: usize = 1_000;
/// When a letter is tried again that the mail server did not take, and then no more.
const RETRIES: &[Duration] = &[Duration::from_secs(5), Duration::from_mins(1), Duration::from_mins(10)];

/// Sends invitations through a mail server.
#[derive(Clone, Debug)]
pub struct Mailer {
    from: Mailbox,
    letters: mpsc::Sender<Message>,
}

/// Why no mail can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// Not the URL of a mail server.
    #[error("expected smtp://USER:PASSWORD@HOST:PORT or smtps://…")]
    Url(#[source] lettre::transport::smtp::Error),
    /// Not an address.
    #[error("expected an address to send from, as in `Calls <calls@example.org>`")]
    From(#[source] lettre::address::AddressError),
}

impl Mailer {
    /// A mailer for the server of this URL (`smtp://…?tls=required` for STARTTLS, `smtps://…` for TLS), which sends in the
    /// name of `from`. Must be called within a tokio runtime.
    pub fn start(url: &str, from: &str) -> Result<Self, MailError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(MailError::Url)?.build();
        let from = from.parse().map_err(MailError::From)?;
        let (letters, waiting) = mpsc::channel(WAITING);
        tokio::spawn(post(transport, waiting));
        Ok(Self { from, letters })
    }

    /// Invites everybody who is to be invited, or tells them of a change.
    pub(crate) fn invite(&self, meeting: &Meeting, link: &str) {
        for attendee in &meeting.attendees {
            match self.letter(meeting, link, attendee) {
                Ok(letter) => {
                    if self.letters.try_send(letter).is_err() {
                        tracing::warn!(meeting = %meeting.id, "an invitation is not sent: too many wait");
                    }
                }
                Err(error) => {
                    tracing::warn!(meeting = %meeting.id, error = explain(&*error), "an invitation cannot be written");
                }
            }
        }
    }

    fn letter(
        &self,
        meeting: &Meeting,
        link: &str,
        attendee: &Attendee,
    ) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
        let organiser = self.from.email.to_string();
        let purpose = Purpose::Invite { organiser: &organiser, attendee };
        let file = calendar::file(meeting, link, &purpose);
        let method = if meeting.status == Status::Cancelled { "CANCEL" } else { "REQUEST" };
        let kind = ContentType::parse(&format!("text/calendar; method={method}; charset=utf-8"))?;
        let parts = MultiPart::alternative()
            .singlepart(SinglePart::plain(text(meeting, link)))
            .singlepart(SinglePart::builder().header(kind.clone()).body(file.clone()));
        let whole = MultiPart::mixed()
            .multipart(parts)
            .singlepart(Attachment::new("invite.ics".to_owned()).body(file, kind));
        let to = Mailbox::new(Some(attendee.name.clone()), attendee.email.parse()?);
        let subject = match meeting.status {
            Status::Cancelled => format!("Called off: {}", meeting.title),
            _ if meeting.sequence > 0 => format!("Changed: {}", meeting.title),
            _ => meeting.title.clone(),
        };
        Ok(Message::builder().from(self.from.clone()).to(to).subject(subject).multipart(whole)?)
    }
}

fn text(meeting: &Meeting, link: &str) -> String {
    let zone = meeting.zone();
    let at = in_calendar(meeting.starts_at).unwrap_or_default().to_zoned(zone);
    let when = at.strftime("%Y-%m-%d %H:%M");
    format!(
        "{}\n\n{when} ({})\n{} min\n\n{link}\nCode: {}\n",
        meeting.title, meeting.time_zone, meeting.duration_minutes, meeting.code.0
    )
}

async fn post(transport: AsyncSmtpTransport<Tokio1Executor>, mut waiting: mpsc::Receiver<Message>) {
    while let Some(letter) = waiting.recv().await {
        let mut retries = RETRIES.iter();
        while let Err(error) = transport.send(letter.clone()).await {
            let Some(wait) = retries.next().filter(|_| !error.is_permanent()) else {
                tracing::warn!(error = explain(&error), "an invitation was not taken by the mail server");
                break;
            };
            tokio::time::sleep(*wait).await;
        }
    }
}
