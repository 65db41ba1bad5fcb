//! Recurrence of meetings: the subset of RFC 5545 recurrence rules that is useful for meetings.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// Maximum number of occurrences of a series.
const MOST: u32 = 1_000;
/// Maximum length of a series in years.
const YEARS: i64 = 10;
/// Periods examined without finding an occurrence (the 31st every second month) before the search ends.
const BARREN: u32 = 400;

/// A recurrence rule: daily, weekly or monthly, with an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Recurrence {
    frequency: Frequency,
    interval: u16,
    by_day: Vec<Day>,
    by_month_day: Vec<i8>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
}

/// A day of the week; with a number, its position in the month, counted from the end if negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Day {
    nth: Option<i8>,
    weekday: Weekday,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The first occurrence counts.
    Count(u32),
    /// Until the end of this day, in the meeting's own zone.
    Day(Date),
    /// Until this moment.
    Until(Timestamp),
}

/// Why a text is not a supported rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not `NAME=VALUE` parts separated by semicolons, or a part given twice.
    #[error("a recurrence is an RFC 5545 rule, as in `FREQ=WEEKLY;BYDAY=MO,TH;COUNT=10`")]
    Syntax,
    /// Another frequency.
    #[error("a meeting recurs DAILY, WEEKLY or MONTHLY")]
    Frequency,
    /// A part that is unsupported, or not valid with this frequency.
    #[error("`{0}` cannot be used in this recurrence")]
    Part(String),
    /// An invalid value.
    #[error("`{0}` in the recurrence has a value that makes no sense")]
    Value(&'static str),
    /// Neither or both of `COUNT` and `UNTIL`.
    #[error("a recurrence ends by COUNT (at most 1000) or by UNTIL")]
    NoEnd,
}

impl Recurrence {
    /// The occurrences of a meeting that begins at `first`, including `first`, at the same time of day in `zone`. A
    /// time skipped by a clock change moves later by the length of the gap; for a repeated time, the first one is used.
    pub fn occurrences<'a>(
        &'a self,
        first: Timestamp,
        zone: &'a TimeZone,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let begin = first.to_zoned(zone.clone()).datetime();
        let mut barren = 0;
        let later = (0_i64..)
            .map(move |period| self.days_of(begin.date(), period))
            .take_while(move |days| {
                let has_some = days.as_ref().is_some_and(|days| !days.is_empty());
                barren = if has_some { 0 } else { barren + 1 };
                days.is_some() && barren <= BARREN
            })
            .flatten()
            .flatten()
            .filter_map(move |day| day.to_datetime(begin.time()).to_zoned(zone.clone()).ok())
            .map(|zoned| zoned.timestamp())
            .filter(move |at| *at > first);
        let latest = first.to_zoned(zone.clone()).checked_add(Span::new().years(YEARS));
        let latest = latest.map_or(first, |latest| latest.timestamp());
        let last = match self.end {
            End::Count(_) => latest,
            End::Until(until) => until.min(latest),
            End::Day(day) => day
                .tomorrow()
                .and_then(|next| next.to_zoned(zone.clone()))
                .map_or(latest, |next| next.timestamp() - Span::new().nanoseconds(1))
                .min(latest),
        };
        let count = match self.end {
            End::Count(count) => count,
            End::Day(_) | End::Until(_) => MOST,
        };
        std::iter::once(first)
            .chain(later.take_while(move |at| *at <= last))
            .take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// The rule in the form of a calendar file, in which `UNTIL` is in UTC (RFC 5545 section 3.3.10).
    pub fn in_calendar(&self, zone: &TimeZone) -> String {
        let End::Day(day) = self.end else { return self.to_string() };
        let last = day.tomorrow().and_then(|next| next.to_zoned(zone.clone()));
        let until = last.map_or(Timestamp::MAX, |next| next.timestamp() - Span::new().seconds(1));
        Self { end: End::Until(until), ..self.clone() }.to_string()
    }

    /// The days of the `period`th day, week or month after that of `begin`, in order; `None` beyond the range of the
    /// calendar.
    fn days_of(&self, begin: Date, period: i64) -> Option<Vec<Date>> {
        let steps = period.checked_mul(self.interval.into())?;
        match self.frequency {
            Frequency::Daily => {
                let day = begin.checked_add(Span::new().try_days(steps).ok()?).ok()?;
                let is_wanted =
                    self.by_day.is_empty() || self.by_day.iter().any(|it| it.weekday == day.weekday());
                Some(if is_wanted { vec![day] } else { Vec::new() })
            }
            Frequency::Weekly => {
                let since_monday = i64::from(begin.weekday().to_monday_zero_offset());
                let monday = begin.checked_sub(Span::new().days(since_monday)).ok()?;
                let monday = monday.checked_add(Span::new().try_weeks(steps).ok()?).ok()?;
                let own = [Day { nth: None, weekday: begin.weekday() }];
                let days = if self.by_day.is_empty() { &own[..] } else { &self.by_day };
                let mut days: Vec<Date> = days
                    .iter()
                    .filter_map(|day| {
                        monday.checked_add(Span::new().days(day.weekday.to_monday_zero_offset())).ok()
                    })
                    .collect();
                days.sort_unstable();
                days.dedup();
                Some(days)
            }
            Frequency::Monthly => {
                let month = begin.first_of_month().checked_add(Span::new().try_months(steps).ok()?).ok()?;
                let mut days = self.days_of_month(month, begin.day());
                days.sort_unstable();
                days.dedup();
                Some(days)
            }
        }
    }

    fn days_of_month(&self, first: Date, own: i8) -> Vec<Date> {
        let length = first.days_in_month();
        let nth_day = |nth: i8| {
            let day = if nth < 0 { length.checked_add(nth)?.checked_add(1)? } else { nth };
            Date::new(first.year(), first.month(), day).ok()
        };
        if !self.by_month_day.is_empty() {
            let is_wanted = |day: &Date| {
                self.by_day.is_empty() || self.by_day.iter().any(|it| it.weekday == day.weekday())
            };
            return self.by_month_day.iter().filter_map(|nth| nth_day(*nth)).filter(is_wanted).collect();
        }
        if self.by_day.is_empty() {
            return nth_day(own).into_iter().collect();
        }
        let of = |day: &Day| match day.nth {
            Some(nth) => first.nth_weekday_of_month(nth, day.weekday).into_iter().collect::<Vec<_>>(),
            None => (1..=5).filter_map(|nth| first.nth_weekday_of_month(nth, day.weekday).ok()).collect(),
        };
        self.by_day.iter().flat_map(of).collect()
    }
}

impl FromStr for Recurrence {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        let text = text.strip_prefix("RRULE:").unwrap_or(text);
        let (mut frequency, mut interval, mut end) = (None, None, None);
        let (mut by_day, mut by_month_day) = (None, None);
        for part in text.split(';') {
            let (name, value) = part.split_once('=').ok_or(RuleError::Syntax)?;
            let fresh = match name.to_ascii_uppercase().as_str() {
                "FREQ" => frequency.replace(frequency_of(value)?).is_none(),
                "INTERVAL" => interval.replace(number(value, "INTERVAL", 1..=366)?).is_none(),
                "COUNT" => {
                    let count = number(value, "COUNT", 1..=MOST)?;
                    end.replace(End::Count(count)).is_none()
                }
                "UNTIL" => end.replace(until(value)?).is_none(),
                "BYDAY" => by_day.replace(list(value, "BYDAY", day)?).is_none(),
                "BYMONTHDAY" => {
                    let nth =
                        |text: &str| text.parse().ok().filter(|nth| *nth != 0 && (-31..=31).contains(nth));
                    by_month_day.replace(list(value, "BYMONTHDAY", nth)?).is_none()
                }
                // Weeks begin on Monday (RFC 5545's default).
                "WKST" if value.eq_ignore_ascii_case("MO") => true,
                other => return Err(RuleError::Part(other.chars().take(32).collect())),
            };
            if !fresh {
                return Err(if end.is_some() && ["COUNT", "UNTIL"].contains(&name) {
                    RuleError::NoEnd
                } else {
                    RuleError::Syntax
                });
            }
        }
        let frequency = frequency.ok_or(RuleError::Frequency)?;
        let by_day: Vec<Day> = by_day.unwrap_or_default();
        let by_month_day: Vec<i8> = by_month_day.unwrap_or_default();
        if frequency != Frequency::Monthly && by_day.iter().any(|day| day.nth.is_some()) {
            return Err(RuleError::Part("BYDAY with numbers".to_owned()));
        }
        if frequency != Frequency::Monthly && !by_month_day.is_empty() {
            return Err(RuleError::Part("BYMONTHDAY".to_owned()));
        }
        Ok(Self {
            frequency,
            interval: interval.unwrap_or(1),
            by_day,
            by_month_day,
            end: end.ok_or(RuleError::NoEnd)?,
        })
    }
}

fn frequency_of(text: &str) -> Result<Frequency, RuleError> {
    match text.to_ascii_uppercase().as_str() {
        "DAILY" => Ok(Frequency::Daily),
        "WEEKLY" => Ok(Frequency::Weekly),
        "MONTHLY" => Ok(Frequency::Monthly),
        _ => Err(RuleError::Frequency),
    }
}

fn number<T: FromStr + PartialOrd>(
    text: &str,
    name: &'static str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, RuleError> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or(RuleError::Value(name))
}

fn list<T>(text: &str, name: &'static str, one: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, RuleError> {
    let all: Option<Vec<T>> = text.split(',').map(one).collect();
    all.filter(|all| all.len() <= 31).ok_or(RuleError::Value(name))
}

fn until(text: &str) -> Result<End, RuleError> {
    let wrong = RuleError::Value("UNTIL");
    if text.len() == 8 {
        return Date::strptime("%Y%m%d", text).map(End::Day).map_err(|_| wrong);
    }
    let utc = text.strip_suffix(['Z', 'z']).ok_or(wrong.clone())?;
    let at = DateTime::strptime("%Y%m%dT%H%M%S", utc).map_err(|_| wrong.clone())?;
    at.to_zoned(TimeZone::UTC).map(|at| End::Until(at.timestamp())).map_err(|_| wrong)
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

fn day(text: &str) -> Option<Day> {
    let (nth, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let (_, weekday) = WEEKDAYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let nth = match nth {
        "" => None,
        nth => Some(nth.parse().ok().filter(|nth| *nth != 0 && (-5..=5).contains(nth))?),
    };
    Some(Day { nth, weekday: *weekday })
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.frequency {
            Frequency::Daily => "FREQ=DAILY",
            Frequency::Weekly => "FREQ=WEEKLY",
            Frequency::Monthly => "FREQ=MONTHLY",
        })?;
        if self.interval != 1 {
            write!(f, ";INTERVAL={}", self.interval)?;
        }
        for (index, day) in self.by_day.iter().enumerate() {
            f.write_str(if index == 0 { ";BYDAY=" } else { "," })?;
            if let Some(nth) = day.nth {
                write!(f, "{nth}")?;
            }
            let name = WEEKDAYS.iter().find(|(_, weekday)| *weekday == day.weekday);
            f.write_str(name.map_or("", |(name, _)| name))?;
        }
        for (index, nth) in self.by_month_day.iter().enumerate() {
            write!(f, "{}{nth}", if index == 0 { ";BYMONTHDAY=" } else { "," })?;
        }
        match self.end {
            End::Count(count) => write!(f, ";COUNT={count}"),
            End::Day(day) => write!(f, ";UNTIL={}", day.strftime("%Y%m%d")),
            End::Until(at) => write!(f, ";UNTIL={}", at.strftime("%Y%m%dT%H%M%SZ")),
        }
    }
}

impl From<Recurrence> for String {
    fn from(rule: Recurrence) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for Recurrence {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The local times of the occurrences, starting from a local time.
    fn local(rule: &str, zone: &str, first: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let first = first.parse::<DateTime>().unwrap().to_zoned(zone.clone()).unwrap().timestamp();
        let rule: Recurrence = rule.parse().unwrap();
        let shown = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%a %m-%d %H:%M %:z").to_string();
        rule.occurrences(first, &zone).map(shown).collect()
    }

    #[test]
    fn the_time_of_day_stays_over_a_change_of_the_clock() {
        assert_eq!(
            local("FREQ=WEEKLY;COUNT=3", "Europe/Berlin", "2027-03-21T10:00"),
            ["Sun 03-21 10:00 +01:00", "Sun 03-28 10:00 +02:00", "Sun 04-04 10:00 +02:00"]
        );
    }

    #[test]
    fn a_time_that_is_skipped_is_later_and_one_that_comes_twice_is_the_first() {
        assert_eq!(
            local("FREQ=DAILY;COUNT=3", "Europe/Berlin", "2027-03-27T02:30"),
            ["Sat 03-27 02:30 +01:00", "Sun 03-28 03:30 +02:00", "Mon 03-29 02:30 +02:00"]
        );
        assert_eq!(
            local("FREQ=DAILY;COUNT=2", "America/New_York", "2026-10-31T01:30"),
            ["Sat 10-31 01:30 -04:00", "Sun 11-01 01:30 -04:00"]
        );
    }

    #[test]
    fn days_of_the_week_and_of_the_month() {
        assert_eq!(
            local("FREQ=WEEKLY;INTERVAL=2;BYDAY=TH,MO;COUNT=4", "UTC", "2027-01-05T09:00"),
            // The first occurrence counts, though it is a Tuesday.
            [
                "Tue 01-05 09:00 +00:00",
                "Thu 01-07 09:00 +00:00",
                "Mon 01-18 09:00 +00:00",
                "Thu 01-21 09:00 +00:00"
            ]
        );
        assert_eq!(
            local("FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20270331", "UTC", "2027-01-29T09:00"),
            ["Fri 01-29 09:00 +00:00", "Fri 02-26 09:00 +00:00", "Fri 03-26 09:00 +00:00"]
        );
        assert_eq!(
            local("FREQ=MONTHLY;COUNT=3", "UTC", "2027-01-31T09:00"),
            ["Sun 01-31 09:00 +00:00", "Wed 03-31 09:00 +00:00", "Mon 05-31 09:00 +00:00"]
        );
        assert_eq!(
            local("FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2", "UTC", "2027-01-31T09:00"),
            ["Sun 01-31 09:00 +00:00", "Sun 02-28 09:00 +00:00"]
        );
        assert_eq!(local("FREQ=DAILY;BYDAY=MO,FR;COUNT=3", "UTC", "2027-01-04T09:00").len(), 3);
    }

    #[test]
    fn every_series_ends() {
        assert_eq!(local("FREQ=DAILY;UNTIL=20991231", "UTC", "2027-01-01T00:00").len(), 1_000);
        assert_eq!(
            local("FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=30;COUNT=5", "UTC", "2027-02-01T00:00").len(),
            1
        );
        assert_eq!(local("FREQ=DAILY;UNTIL=20200101", "UTC", "2027-01-01T00:00").len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (rule, wrong) in [
            ("FREQ=SECONDLY", RuleError::Frequency),
            ("FREQ=YEARLY;COUNT=2", RuleError::Frequency),
            ("COUNT=2", RuleError::Frequency),
            ("FREQ=DAILY", RuleError::NoEnd),
            ("FREQ=DAILY;COUNT=2;UNTIL=20270101", RuleError::NoEnd),
            ("FREQ=DAILY;COUNT=0", RuleError::Value("COUNT")),
            ("FREQ=DAILY;COUNT=1001", RuleError::Value("COUNT")),
            ("FREQ=DAILY;COUNT=2;INTERVAL=0", RuleError::Value("INTERVAL")),
            ("FREQ=DAILY;UNTIL=20271301", RuleError::Value("UNTIL")),
            ("FREQ=WEEKLY;COUNT=2;BYDAY=XX", RuleError::Value("BYDAY")),
            ("FREQ=WEEKLY;COUNT=2;BYDAY=ä", RuleError::Value("BYDAY")),
            ("FREQ=WEEKLY;COUNT=2;BYDAY=2MO", RuleError::Part("BYDAY with numbers".into())),
            ("FREQ=DAILY;COUNT=2;BYSECOND=1", RuleError::Part("BYSECOND".into())),
            ("every day", RuleError::Syntax),
            ("", RuleError::Syntax),
        ] {
            assert_eq!(rule.parse::<Recurrence>(), Err(wrong), "{rule}");
        }
    }

    #[test]
    fn a_rule_reads_as_it_is_written() {
        for rule in [
            "FREQ=DAILY;COUNT=3",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;UNTIL=20270301T120000Z",
            "FREQ=MONTHLY;BYDAY=-1FR,1MO;UNTIL=20270301",
            "FREQ=MONTHLY;BYMONTHDAY=1,15,-1;COUNT=9",
        ] {
            assert_eq!(rule.parse::<Recurrence>().unwrap().to_string(), rule);
        }
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let rule: Recurrence = "RRULE:FREQ=DAILY;UNTIL=20270301".parse().unwrap();
        assert_eq!(rule.in_calendar(&berlin), "FREQ=DAILY;UNTIL=20270301T225959Z");
    }
}
