//! Calendar files (RFC 5545) and their scheduling methods (RFC 5546).

use std::fmt::Write as _;

use jiff::tz::{Dst, TimeZone};
use jiff::{Span, Timestamp};

use crate::meeting::{Attendee, Meeting, Status, Way, in_calendar};

/// Bytes of a line, excluding its line break (RFC 5545 section 3.1).
const LINE: usize = 75;
/// Maximum number of clock changes described: two a year over the longest series.
const CHANGES: usize = 24;

/// The purpose of a calendar file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// To be stored: downloaded from a meeting's page.
    Publish,
    /// A request to an attendee: an invitation by mail.
    Invite {
        /// The organiser.
        organiser: &'a str,
        /// The attendee.
        attendee: &'a Attendee,
    },
    /// A cancellation for a former attendee.
    Withdraw {
        /// The organiser.
        organiser: &'a str,
        /// The former attendee.
        attendee: &'a Attendee,
    },
}

/// The calendar file of a meeting that is entered through `way`, with links under `origin`.
pub(crate) fn file(meeting: &Meeting, way: Way, origin: &str, purpose: &Purpose<'_>) -> String {
    let link = &way.url(meeting, origin);
    let is_cancelled = meeting.status == Status::Cancelled;
    let method = match purpose {
        _ if is_cancelled => "CANCEL",
        Purpose::Withdraw { .. } => "CANCEL",
        Purpose::Publish => "PUBLISH",
        Purpose::Invite { .. } => "REQUEST",
    };
    let zone = meeting.zone();
    let first = in_calendar(meeting.first_starts_at).unwrap_or_default();
    let lasts = i64::from(meeting.duration_minutes);
    let last =
        meeting.recurrence.as_ref().and_then(|rule| rule.occurrences(first, &zone).last()).unwrap_or(first);
    let mut lines = Lines::default();
    lines.put("BEGIN:VCALENDAR");
    lines.put("VERSION:2.0");
    lines.put("PRODID:-//Visavis//Meetings//EN");
    lines.put("CALSCALE:GREGORIAN");
    lines.put(&format!("METHOD:{method}"));
    let is_utc = meeting.time_zone == "UTC" || meeting.time_zone == "Etc/UTC";
    if !is_utc {
        time_zone(&mut lines, &meeting.time_zone, &zone, first, last + Span::new().minutes(lasts));
    }
    lines.put("BEGIN:VEVENT");
    lines.put(&format!("UID:{}@visavis", meeting.calendar_uid.unwrap_or(meeting.id)));
    lines.put(&format!("SEQUENCE:{}", meeting.sequence));
    lines.put(&format!("DTSTAMP:{}", utc(in_calendar(meeting.updated_at).unwrap_or_default())));
    lines.put(&format!("CREATED:{}", utc(in_calendar(meeting.created_at).unwrap_or_default())));
    lines.put(&format!("LAST-MODIFIED:{}", utc(in_calendar(meeting.updated_at).unwrap_or_default())));
    let mut at = |name: &str, at: Timestamp| {
        if is_utc {
            lines.put(&format!("{name}:{}", utc(at)));
        } else {
            let local = at.to_zoned(zone.clone()).strftime("%Y%m%dT%H%M%S").to_string();
            lines.put(&format!("{name};TZID={}:{local}", meeting.time_zone));
        }
    };
    at("DTSTART", first);
    at("DTEND", first + Span::new().minutes(lasts));
    if let Some(rule) = &meeting.recurrence {
        lines.put(&format!("RRULE:{}", rule.in_calendar(&zone)));
    }
    lines.put(&format!("SUMMARY:{}", escaped(&meeting.title)));
    lines.put(&format!("DESCRIPTION:{}", escaped(&format!("{link}\n{}", way.code))));
    lines.put(&format!("LOCATION:{}", escaped(link)));
    lines.put(&format!("URL:{link}"));
    match purpose {
        _ if is_cancelled => lines.put("STATUS:CANCELLED"),
        // The meeting itself takes place (RFC 5546 section 3.2.5).
        Purpose::Withdraw { .. } => {}
        Purpose::Publish | Purpose::Invite { .. } => lines.put("STATUS:CONFIRMED"),
    }
    if let Purpose::Invite { organiser, attendee } | Purpose::Withdraw { organiser, attendee } = purpose {
        lines.put(&format!("ORGANIZER:mailto:{organiser}"));
        let name = quoted(&attendee.name);
        let asks = if method == "REQUEST" { ";PARTSTAT=NEEDS-ACTION;RSVP=TRUE" } else { "" };
        lines.put(&format!("ATTENDEE;CN={name};ROLE=REQ-PARTICIPANT{asks}:mailto:{}", attendee.email));
    }
    lines.put("END:VEVENT");
    lines.put("END:VCALENDAR");
    lines.0
}

/// A time zone for the range of these times: its offset at the start, and every clock change until the end.
fn time_zone(lines: &mut Lines, name: &str, zone: &TimeZone, from: Timestamp, to: Timestamp) {
    lines.put("BEGIN:VTIMEZONE");
    lines.put(&format!("TZID:{name}"));
    let before = zone.preceding(from).next();
    let mut offset = before.as_ref().map_or_else(
        || zone.to_offset_info(from).offset().seconds(),
        |change| zone.to_offset_info(change.timestamp() - Span::new().seconds(1)).offset().seconds(),
    );
    let changes: Vec<_> = before
        .into_iter()
        .chain(zone.following(from).take_while(|change| change.timestamp() <= to).take(CHANGES))
        .map(|change| {
            (change.timestamp(), change.offset().seconds(), change.abbreviation().to_owned(), change.dst())
        })
        .collect();
    if changes.is_empty() {
        let info = zone.to_offset_info(from);
        observance(lines, Timestamp::UNIX_EPOCH, offset, (offset, info.abbreviation(), info.dst()));
    }
    for (at, to, abbreviation, dst) in changes {
        observance(lines, at, offset, (to, &abbreviation, dst));
        offset = to;
    }
    lines.put("END:VTIMEZONE");
}

fn observance(lines: &mut Lines, at: Timestamp, from: i32, (to, abbreviation, dst): (i32, &str, Dst)) {
    let kind = if dst == Dst::Yes { "DAYLIGHT" } else { "STANDARD" };
    // The start of an observance uses the offset before it (RFC 5545 section 3.6.5).
    let local = jiff::tz::Offset::from_seconds(from).unwrap_or(jiff::tz::Offset::UTC).to_datetime(at);
    lines.put(&format!("BEGIN:{kind}"));
    lines.put(&format!("DTSTART:{}", local.strftime("%Y%m%dT%H%M%S")));
    lines.put(&format!("TZOFFSETFROM:{}", offset_text(from)));
    lines.put(&format!("TZOFFSETTO:{}", offset_text(to)));
    lines.put(&format!("TZNAME:{abbreviation}"));
    lines.put(&format!("END:{kind}"));
}

fn offset_text(seconds: i32) -> String {
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let mut text = format!("{sign}{:02}{:02}", seconds / 3_600, seconds / 60 % 60);
    if !seconds.is_multiple_of(60) {
        let _ = write!(text, "{:02}", seconds % 60);
    }
    text
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Encodes text as a property value (RFC 5545 section 3.3.11).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// Encodes text as a parameter value, which cannot contain quotes.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| *c != '"' && !c.is_control()).collect();
    format!("\"{plain}\"")
}

/// Joins lines with CR LF, and folds long ones between characters.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn put(&mut self, line: &str) {
        let mut used = 0;
        for c in line.chars() {
            if used + c.len_utf8() > LINE {
                self.0.push_str("\r\n ");
                used = 1;
            }
            self.0.push(c);
            used += c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use signaling_core::testing::SeededEntropy;
    use signaling_core::{ServerKey, Timestamp};

    use super::*;
    use crate::meeting::Wanted;

    fn file_of(wanted: serde_json::Value) -> String {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let wanted: Wanted = serde_json::from_value(wanted).unwrap();
        let draft = wanted.check(now).unwrap();
        let meeting = Meeting::new(&draft, None, &ServerKey::new([1; 32]), now, &mut SeededEntropy::new(2));
        file(&meeting, meeting.way(), "https://calls.example", &Purpose::Publish)
    }

    #[test]
    fn a_series_over_a_change_of_the_clock_has_its_zone_described() {
        let file = file_of(json!({
            "title": "Planning; part 1, with a title that is long enough to be folded över the lines of the file",
            "startsAt": "2027-03-21T09:00:00Z", "timeZone": "Europe/Berlin", "durationMinutes": 45,
            "recurrence": "FREQ=WEEKLY;COUNT=3",
        }));
        assert!(file.split("\r\n").all(|line| line.len() <= LINE), "{file}");
        let unfolded = file.replace("\r\n ", "");
        for line in [
            "METHOD:PUBLISH",
            "DTSTART;TZID=Europe/Berlin:20270321T100000",
            "DTEND;TZID=Europe/Berlin:20270321T104500",
            "RRULE:FREQ=WEEKLY;COUNT=3",
            "SEQUENCE:0",
            "BEGIN:DAYLIGHT\r\nDTSTART:20270328T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nTZNAME:CEST\r\nEND:DAYLIGHT",
            "BEGIN:STANDARD\r\nDTSTART:20261025T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nTZNAME:CET\r\nEND:STANDARD",
        ] {
            assert!(unfolded.contains(&format!("{line}\r\n")), "{line} in {unfolded}");
        }
        assert!(unfolded.contains("SUMMARY:Planning\\; part 1\\, with"), "{unfolded}");
    }

    #[test]
    fn a_zone_whose_clock_never_changes_is_described_too() {
        let file = file_of(json!({
            "title": "Call", "startsAt": "2027-03-21T09:00:00Z", "timeZone": "Asia/Kolkata", "durationMinutes": 30,
        }));
        assert!(file.contains("TZOFFSETTO:+0530\r\n"), "{file}");
        assert!(file.contains("DTSTART;TZID=Asia/Kolkata:20270321T143000\r\n"), "{file}");
    }
}
