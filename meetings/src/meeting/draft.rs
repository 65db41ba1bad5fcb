//! Parses and checks requests that create or change meetings.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use signaling_core::{Code, Refusal, Timestamp, is_blank};
use utoipa::ToSchema;

use super::{Meeting, Recurrence};

/// Maximum duration in minutes: a week.
const LONGEST_MINUTES: u32 = 7 * 24 * 60;
/// Maximum capacity.
const LARGEST: u32 = 5_000;
/// Maximum time in seconds without anybody: a week.
const LONGEST_EMPTY: u32 = 7 * 24 * 3_600;
/// Default time in seconds without anybody.
const EMPTY_TIMEOUT: u32 = 600;
/// Maximum number of attendees of one meeting.
const MOST_ATTENDEES: usize = 100;
/// How far ahead a meeting may be planned.
const AHEAD: Duration = Duration::from_hours(24 * 3_653);

/// A meeting that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewMeeting)]
pub struct Wanted {
    /// 1 to 200 characters, no controls.
    title: String,
    /// When it begins (RFC 3339); without it the meeting is open at once.
    #[serde(default)]
    starts_at: Option<String>,
    /// When it ends, for who would rather say so: after `startsAt`, and in accord with `durationMinutes`.
    #[serde(default)]
    #[schema(ignore)]
    ends_at: Option<String>,
    /// The organiser's zone: a name of the IANA's, as in `Europe/Berlin`.
    time_zone: String,
    /// How long it is planned to last. Nobody is thrown out at its end.
    #[schema(value_type = u32, minimum = 1, maximum = 10_080)]
    duration_minutes: Whole,
    /// How many may be in it.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 5_000)]
    capacity: Option<Whole>,
    /// Whether newcomers wait until a host admits them.
    #[serde(default)]
    lobby: Option<bool>,
    /// Whether others wait until a host is there, who lets them in by coming.
    #[serde(default)]
    wait_for_host: Option<bool>,
    /// What newcomers give, 1 to 256 bytes.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    password: Option<String>,
    /// Where events of the meeting are sent, as Standard Webhooks has it.
    #[serde(default)]
    webhook_url: Option<String>,
    /// What they are signed with: `whsec_` and the base64 of 24 to 64 bytes. Without it one is made, and stands in the reply.
    #[serde(default)]
    webhook_secret: Option<String>,
    /// Who is invited by mail, where the server sends mail.
    #[serde(default, deserialize_with = "invited")]
    #[schema(value_type = Option<Vec<NewAttendee>>, max_items = 100)]
    attendees: Option<Vec<Attendee>>,
    /// When it comes again: an RFC 5545 rule, daily, weekly or monthly, with COUNT or UNTIL.
    #[serde(default)]
    recurrence: Option<String>,
    /// Seconds without anybody after which it expires; 600 unless told otherwise.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 604_800)]
    empty_timeout_seconds: Option<Whole>,
}

/// Somebody who is invited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attendee {
    /// 1 to 64 characters, no controls.
    pub name: String,
    /// Where the invitation goes.
    pub email: String,
}

/// A validated draft of a meeting.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in `Meeting`")]
pub struct Draft {
    pub title: String,
    pub starts_at: Option<Timestamp>,
    pub time_zone: String,
    pub duration_minutes: u32,
    pub capacity: Option<u32>,
    pub lobby: bool,
    pub wait_for_host: bool,
    pub password: Option<String>,
    pub webhook_url: Option<String>,
    pub webhook_secret: Option<String>,
    pub attendees: Vec<Attendee>,
    pub recurrence: Option<Recurrence>,
    pub empty_timeout_seconds: u32,
}

impl Wanted {
    /// Checks everything that requires no lookup.
    pub fn check(self, now: Timestamp) -> Result<Draft, Refusal> {
        let starts_at = self.starts_at.as_deref().map(|text| time("startsAt", text)).transpose()?;
        let duration_minutes = within("durationMinutes", self.duration_minutes.0, LONGEST_MINUTES)?;
        if let Some(ends_at) = self.ends_at.as_deref().map(|text| time("endsAt", text)).transpose()? {
            let begin = starts_at.unwrap_or(now);
            if ends_at <= begin {
                return Err(Refusal::bad_request("`endsAt` is not after `startsAt`"));
            }
            if ends_at != begin + minutes(duration_minutes) {
                return Err(Refusal::bad_request("`endsAt` and `durationMinutes` don't agree"));
            }
        }
        let draft = Draft {
            title: title(&self.title)?,
            starts_at,
            time_zone: zone(&self.time_zone)?,
            duration_minutes,
            capacity: self.capacity.map(|capacity| within("capacity", capacity.0, LARGEST)).transpose()?,
            lobby: self.lobby.unwrap_or(false),
            wait_for_host: self.wait_for_host.unwrap_or(false),
            password: self.password.map(password).transpose()?,
            webhook_secret: self.webhook_secret.map(webhook_secret).transpose()?,
            webhook_url: self.webhook_url,
            attendees: attendees(self.attendees.unwrap_or_default())?,
            recurrence: self.recurrence.as_deref().map(recurrence).transpose()?,
            empty_timeout_seconds: empty_timeout(
                self.empty_timeout_seconds.map_or(EMPTY_TIMEOUT, |seconds| seconds.0),
            )?,
        };
        if draft.webhook_secret.is_some() && draft.webhook_url.is_none() {
            return Err(Refusal::bad_request("`webhookSecret` needs `webhookUrl`"));
        }
        if draft.recurrence.is_some() && draft.starts_at.is_none() {
            return Err(Refusal::new(Code::InvalidState, "a meeting that comes again needs `startsAt`"));
        }
        if let Some(starts_at) = draft.starts_at {
            plannable(starts_at, draft.duration_minutes, draft.recurrence.is_some(), now)?;
        }
        Ok(draft)
    }
}

/// A person to invite, as the request has it.
// Stored attendees may gain more fields in later versions, those of a request may not have unknown fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAttendee {
    /// 1 to 64 characters, no controls.
    name: String,
    /// Where the invitation goes.
    email: String,
}

fn invited<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Attendee>>, D::Error> {
    let invited = Option::<Vec<NewAttendee>>::deserialize(deserializer)?;
    let attendee = |NewAttendee { name, email }| Attendee { name, email };
    Ok(invited.map(|invited| invited.into_iter().map(attendee).collect()))
}

/// Checks the secret of a webhook receiver (Standard Webhooks).
pub(crate) fn webhook_secret(secret: String) -> Result<String, Refusal> {
    let bytes = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
        Ok(secret)
    } else {
        Err(Refusal::bad_request("`webhookSecret` is `whsec_` and the base64 of 24 to 64 bytes"))
    }
}

/// A number without a fraction; 30.0 counts as one (JSON Schema's definition of an integer).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole(u32);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let whole = number.to_string();
        let whole = whole.strip_suffix(".0").unwrap_or(&whole);
        let wrong = || serde::de::Error::custom(format!("{number} is no number from 0 to {}", u32::MAX));
        whole.parse().map(Self).map_err(|_| wrong())
    }
}

/// What a request wants changed: what is not named stays as it is.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MeetingChange)]
pub struct Change {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_080)]
    duration_minutes: Option<Whole>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 5_000)]
    capacity: Patch<Whole>,
    #[serde(default)]
    lobby: Option<bool>,
    #[serde(default)]
    wait_for_host: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    pub(super) password: Patch<String>,
    /// Where events are sent; `null` for nowhere.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) webhook_url: Patch<String>,
    #[serde(default, deserialize_with = "invited")]
    #[schema(value_type = Option<Vec<NewAttendee>>, max_items = 100)]
    attendees: Option<Vec<Attendee>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    recurrence: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 604_800)]
    empty_timeout_seconds: Option<Whole>,
}

/// A field of a change: `null` is something else than nothing said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Patch<T> {
    /// Nothing said.
    #[default]
    Keep,
    /// `null`.
    Clear,
    /// A new value.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: Clone> Patch<T> {
    /// The value after the change; `read` parses and checks a new one.
    fn apply<U>(
        &self,
        former: &mut Option<U>,
        read: impl FnOnce(T) -> Result<U, Refusal>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Keep => {}
            Self::Clear => *former = None,
            Self::Set(value) => *former = Some(read(value.clone())?),
        }
        Ok(())
    }
}

impl Change {
    /// Whether it invites somebody.
    pub fn invites(&self) -> bool {
        self.attendees.as_ref().is_some_and(|attendees| !attendees.is_empty())
    }

    /// Applies all the changes or none. The caller hashes and stores the password, since it has the key.
    pub(super) fn apply(&self, meeting: &mut Meeting, now: Timestamp) -> Result<(), Refusal> {
        if let Some(text) = &self.title {
            meeting.title = title(text)?;
        }
        if let Some(text) = &self.time_zone {
            meeting.time_zone = zone(text)?;
        }
        if let Some(given) = self.duration_minutes {
            meeting.duration_minutes = within("durationMinutes", given.0, LONGEST_MINUTES)?;
        }
        self.capacity.apply(&mut meeting.capacity, |given| within("capacity", given.0, LARGEST))?;
        meeting.lobby = self.lobby.unwrap_or(meeting.lobby);
        meeting.wait_for_host = self.wait_for_host.unwrap_or(meeting.wait_for_host);
        if let Patch::Set(given) = &self.password {
            password(given.clone())?;
        }
        if let Some(given) = &self.attendees {
            meeting.attendees = attendees(given.clone())?;
        }
        self.recurrence.apply(&mut meeting.recurrence, |given| recurrence(&given))?;
        if let Some(given) = self.empty_timeout_seconds {
            meeting.empty_timeout_seconds = empty_timeout(given.0)?;
        }
        if let Some(text) = &self.starts_at {
            let starts_at = time("startsAt", text)?;
            if starts_at != meeting.first_starts_at || !meeting.has_time {
                plannable(starts_at, meeting.duration_minutes, meeting.recurrence.is_some(), now)?;
                meeting.first_starts_at = starts_at;
                meeting.has_time = true;
            }
        }
        if meeting.recurrence.is_some() && !meeting.has_time {
            return Err(Refusal::new(Code::InvalidState, "a meeting that comes again needs `startsAt`"));
        }
        Ok(())
    }
}

fn minutes(minutes: u32) -> Duration {
    Duration::from_mins(minutes.into())
}

fn within(name: &str, number: u32, most: u32) -> Result<u32, Refusal> {
    if (1..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Refusal::bad_request(format!("`{name}` is from 1 to {most}")))
    }
}

fn empty_timeout(seconds: u32) -> Result<u32, Refusal> {
    within("emptyTimeoutSeconds", seconds, LONGEST_EMPTY)
}

/// Characters that would break a line or change the direction of the text around them.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn printable(name: &str, text: &str, most: usize) -> Result<String, Refusal> {
    let trimmed = text.trim_matches(' ');
    let is_fine = (1..=most).contains(&trimmed.chars().count())
        && !trimmed.chars().any(is_unprintable)
        && !is_blank(trimmed);
    if is_fine {
        Ok(trimmed.to_owned())
    } else {
        Err(Refusal::bad_request(format!("`{name}` has 1 to {most} characters and no control characters")))
    }
}

fn title(text: &str) -> Result<String, Refusal> {
    printable("title", text, 200)
}

fn zone(name: &str) -> Result<String, Refusal> {
    let unknown = || Refusal::bad_request("`timeZone` is the name of a zone, as in `Europe/Berlin`");
    let zone = jiff::tz::TimeZone::get(name).map_err(|_| unknown())?;
    zone.iana_name().map(str::to_owned).ok_or_else(unknown)
}

fn password(text: String) -> Result<String, Refusal> {
    if (1..=256).contains(&text.len()) {
        Ok(text)
    } else {
        Err(Refusal::bad_request("a password has 1 to 256 bytes"))
    }
}

fn recurrence(text: &str) -> Result<Recurrence, Refusal> {
    text.parse().map_err(|error: super::RuleError| Refusal::bad_request(error.to_string()))
}

/// An instant: a date, a time and its offset from UTC.
pub(crate) fn time(name: &str, text: &str) -> Result<Timestamp, Refusal> {
    let wrong = || {
        Refusal::bad_request(format!(
            "`{name}` is a time as in `2027-03-28T09:00:00Z`, of the years 2000 to 2099"
        ))
    };
    let at: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let is_plain = text.get(4..5) == Some("-") && text.starts_with("20") && !text.contains('[');
    let millis = u64::try_from(at.as_millisecond()).map_err(|_| wrong())?;
    if is_plain { Ok(Timestamp::from_millis(millis)) } else { Err(wrong()) }
}

/// These depend on the time of the request, and are not syntax errors.
fn plannable(starts_at: Timestamp, lasting: u32, recurs: bool, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::new(Code::InvalidState, why));
    if starts_at > now + AHEAD {
        return refuse("`startsAt` is more than ten years ahead");
    }
    let is_past = if recurs { starts_at + AHEAD < now } else { starts_at + minutes(lasting) <= now };
    if is_past {
        return refuse("the meeting would be over already: `startsAt` lies in the past");
    }
    Ok(())
}

fn attendees(given: Vec<Attendee>) -> Result<Vec<Attendee>, Refusal> {
    if given.len() > MOST_ATTENDEES {
        return Err(Refusal::bad_request(format!(
            "at most {MOST_ATTENDEES} people are invited to a meeting"
        )));
    }
    given
        .into_iter()
        .map(|Attendee { name, email }| {
            Ok(Attendee { name: printable("name", &name, 64)?, email: address(email)? })
        })
        .collect()
}

/// Common mail addresses: nothing quoted, no comments, nothing with a special meaning in a header.
fn address(text: String) -> Result<String, Refusal> {
    let is_address = text.split_once('@').is_some_and(|(local, domain)| {
        let in_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        (1..=64).contains(&local.len())
            && local.bytes().all(in_local)
            && local.split('.').all(|part| !part.is_empty())
            && domain.split('.').count() >= 2
            && domain.split('.').all(label)
    });
    // Anything not allowed in a mail header is no address either.
    if is_address && text.len() <= 254 && text.parse::<lettre::Address>().is_ok() {
        Ok(text)
    } else {
        Err(Refusal::bad_request("`email` is an address, as in `ada@example.org`"))
    }
}
