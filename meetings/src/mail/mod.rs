//! Invitations by mail: composes letters that calendars understand (iMIP, RFC 6047) and delivers them.

mod dispatch;

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{AsyncSmtpTransport, Message, Tokio1Executor};
use signaling_core::{Entropy, Timestamp};

pub(crate) use self::dispatch::Postman;

use crate::calendar::{self, Purpose};
use crate::keys::random_id;
use crate::meeting::{Attendee, Meeting, Status, Way, in_calendar};
use crate::store::{Letter, StoreError, explain};

/// Composes invitations with their sender, and holds the mail server's settings.
#[derive(Clone, Debug)]
pub struct Mailer {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// Why mail cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// Not the URL of a mail server.
    #[error("expected smtp://USER:PASSWORD@HOST:PORT or smtps://…")]
    Url(#[source] lettre::transport::smtp::Error),
    /// Not a mail address.
    #[error("expected an address to send from, as in `Calls <calls@example.org>`")]
    From(#[source] lettre::address::AddressError),
}

/// The subject of a letter, from its recipient's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matter {
    Invitation,
    Change,
    Cancellation,
    /// The meeting takes place, but the recipient is no longer invited.
    Withdrawal,
}

impl Mailer {
    /// Creates a mailer for the server at this URL (`smtp://…?tls=required` for STARTTLS, `smtps://…` for TLS) with the
    /// sender `from`. Opens no connection.
    pub fn new(url: &str, from: &str) -> Result<Self, MailError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(MailError::Url)?;
        let transport = transport.timeout(Some(Duration::from_secs(30))).build();
        Ok(Self { from: from.parse().map_err(MailError::From)?, transport })
    }

    /// The letters to those invited to a meeting now or `before` its change: none if the change is irrelevant to
    /// calendars. Each recipient gets a link of their own, under `origin`.
    pub(crate) fn letters(
        &self,
        before: Option<&Meeting>,
        meeting: &Meeting,
        origin: &str,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<Letter>, StoreError> {
        if before.is_some_and(|before| before.sequence == meeting.sequence) {
            return Ok(Vec::new());
        }
        // The change takes place now, though it is not stored yet.
        let meeting = &Meeting { updated_at: now, ..meeting.clone() };
        let former = before.map_or(&[][..], |before| &before.attendees);
        let is_among = |attendees: &[Attendee], one: &Attendee| {
            attendees.iter().any(|other| other.email.eq_ignore_ascii_case(&one.email))
        };
        let invited = meeting.attendees.iter().map(|attendee| {
            let matter = match meeting.status {
                Status::Cancelled => Matter::Cancellation,
                _ if is_among(former, attendee) => Matter::Change,
                _ => Matter::Invitation,
            };
            (attendee, matter)
        });
        let withdrawn = former.iter().filter(|attendee| !is_among(&meeting.attendees, attendee));
        let withdrawn = withdrawn.map(|attendee| (attendee, Matter::Withdrawal));
        let write = |(attendee, matter): (&Attendee, Matter)| {
            let id = random_id("ltr_", entropy);
            // Removing an attendee revokes the attendee's link.
            let whose = if matter == Matter::Withdrawal { before.unwrap_or(meeting) } else { meeting };
            let way = whose.way_of(&attendee.email);
            let message = self.message(&id, meeting, (way, origin), attendee, matter).map_err(|error| {
                tracing::error!(meeting = %meeting.id, error = explain(&*error), "an invitation cannot be written");
                StoreError::Letter
            })?;
            Ok(Letter {
                id,
                meeting: meeting.id.to_string(),
                recipient: attendee.email.clone(),
                message,
                at: now,
                attempts: 0,
            })
        };
        invited.chain(withdrawn).map(write).collect()
    }

    fn message(
        &self,
        id: &str,
        meeting: &Meeting,
        (way, origin): (Way, &str),
        attendee: &Attendee,
        matter: Matter,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let organiser = self.from.email.to_string();
        let purpose = match matter {
            Matter::Withdrawal => Purpose::Withdraw { organiser: &organiser, attendee },
            _ => Purpose::Invite { organiser: &organiser, attendee },
        };
        let file = calendar::file(meeting, way, origin, &purpose);
        let (method, subject) = match matter {
            Matter::Invitation => ("REQUEST", meeting.title.clone()),
            Matter::Change => ("REQUEST", format!("Changed: {}", meeting.title)),
            Matter::Cancellation => ("CANCEL", format!("Called off: {}", meeting.title)),
            Matter::Withdrawal => ("CANCEL", format!("No longer invited: {}", meeting.title)),
        };
        let kind = ContentType::parse(&format!("text/calendar; method={method}; charset=utf-8"))?;
        // Mail clients read the alternative part; the attachment is for clients that do not, and must not be taken for
        // a second request.
        let attached = ContentType::parse("application/ics; name=\"invite.ics\"")?;
        let parts = MultiPart::alternative()
            .singlepart(SinglePart::plain(text(meeting, way, origin, matter)))
            .singlepart(SinglePart::builder().header(kind).body(file.clone()));
        let whole = MultiPart::mixed()
            .multipart(parts)
            .singlepart(Attachment::new("invite.ics".to_owned()).body(file, attached));
        let to = Mailbox::new(Some(attendee.name.clone()), attendee.email.parse()?);
        let written_at = UNIX_EPOCH + Duration::from_millis(meeting.updated_at.as_millis());
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .date(written_at)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .multipart(whole)?;
        // Suppresses automatic replies (RFC 3834).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(automatic, "auto-generated".to_owned()));
        Ok(String::from_utf8(message.formatted())?)
    }
}

fn text(meeting: &Meeting, way: Way, origin: &str, matter: Matter) -> String {
    let at = in_calendar(meeting.starts_at).unwrap_or_default().to_zoned(meeting.zone());
    let when = at.strftime("%Y-%m-%d %H:%M");
    let head =
        format!("{}\n\n{when} ({})\n{} min\n", meeting.title, meeting.time_zone, meeting.duration_minutes);
    match matter {
        Matter::Invitation | Matter::Change => {
            format!("{head}\n{}\nCode: {}\n", way.url(meeting, origin), way.code)
        }
        Matter::Cancellation => format!("{head}\nThe meeting was called off.\n"),
        Matter::Withdrawal => format!("{head}\nYou are no longer invited.\n"),
    }
}

#[cfg(test)]
mod tests;
