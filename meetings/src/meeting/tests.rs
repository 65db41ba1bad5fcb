use serde_json::{Value, json};
use signaling_core::PeerId;
use signaling_core::meeting::{Presence, RoomHappening};
use signaling_core::message::{EndReason, Role};
use signaling_core::testing::SeededEntropy;

use super::*;

fn key() -> ServerKey {
    ServerKey::new([1; 32])
}

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(at.as_millisecond().try_into().unwrap())
}

const NOW: &str = "2026-11-21T08:00:00Z";

fn wanted(more: &Value) -> Result<Draft, Refusal> {
    let mut wanted = json!({"title": "Standup", "timeZone": "Europe/Berlin", "durationMinutes": 30});
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    let wanted: Wanted =
        serde_json::from_value(wanted).map_err(|error| Refusal::bad_request(error.to_string()))?;
    wanted.check(at(NOW))
}

fn meeting(more: &Value) -> Meeting {
    let draft = wanted(more).unwrap();
    Meeting::new(&draft, None, &key(), at(NOW), &mut SeededEntropy::new(2))
}

fn joined() -> RoomHappening {
    let peer = PeerId::random(&mut SeededEntropy::new(3));
    RoomHappening::Joined(Presence {
        peer,
        name: "Ada".into(),
        role: Role::Participant,
        sub: None,
        metadata: None,
    })
}

const EXPIRED: RoomHappening = RoomHappening::Ended { reason: EndReason::Expired, visited: true };
const ENDED: RoomHappening = RoomHappening::Ended { reason: EndReason::HostEnded, visited: true };

#[test]
fn without_a_time_it_is_open_at_once_and_expires_when_all_have_left() {
    let mut call = meeting(&json!({"capacity": 2}));
    assert_eq!(call.state(at(NOW)), State::Open);
    assert_eq!(call.room_record().unwrap().capacity, Some(2));
    assert_eq!(call.happened(&joined(), at(NOW))[0], Event::Started);
    assert_eq!(call.happened(&joined(), at(NOW)).len(), 1, "it starts once");
    let later = at("2026-11-21T09:00:00Z");
    assert_eq!(call.happened(&EXPIRED, later), [Event::Emptied, Event::Ended { reason: EndReason::Expired }]);
    assert_eq!(call.state(later), State::Expired);
    assert_eq!(call.room_record().unwrap_err().code, Code::RoomEnded);
}

#[test]
fn who_looks_in_early_does_not_use_it_up() {
    let mut planned = meeting(&json!({"startsAt": "2026-11-21T10:00:00Z"}));
    assert_eq!(planned.state(at(NOW)), State::Scheduled);
    planned.happened(&joined(), at("2026-11-21T09:00:00Z"));
    assert_eq!(planned.happened(&EXPIRED, at("2026-11-21T09:30:00Z")), [Event::Emptied]);
    assert_eq!(planned.state(at("2026-11-21T10:00:00Z")), State::Open);
    // A peer that only waited in the lobby has not joined.
    let waited = RoomHappening::Ended { reason: EndReason::Expired, visited: false };
    assert_eq!(planned.happened(&waited, at("2026-11-21T10:20:00Z")), [Event::Emptied]);
    assert_eq!(planned.state(at("2026-11-21T10:20:00Z")), State::Open);
    planned.happened(&joined(), at("2026-11-21T10:21:00Z"));
    assert_eq!(planned.happened(&EXPIRED, at("2026-11-21T10:40:00Z")).len(), 2);
    assert_eq!(planned.state(at("2026-11-21T10:40:00Z")), State::Expired);
}

#[test]
fn one_that_nobody_comes_to_expires_a_day_after_its_end() {
    let mut planned = meeting(&json!({"startsAt": "2026-11-21T10:00:00Z"}));
    let due = at("2026-11-22T10:30:00Z");
    assert_eq!(planned.due_at(), Some(due));
    assert_eq!(planned.handle_due(at("2026-11-22T10:29:59Z")), []);
    assert_eq!(planned.handle_due(due), [Event::Emptied, Event::Ended { reason: EndReason::Expired }]);
    assert_eq!(planned.state(due), State::Expired);
}

#[test]
fn a_series_goes_on_after_the_end_of_an_occurrence_and_ends_with_the_last() {
    let mut series =
        meeting(&json!({"startsAt": "2026-11-23T09:00:00Z", "recurrence": "FREQ=WEEKLY;COUNT=3"}));
    series.happened(&joined(), at("2026-11-23T09:00:00Z"));
    series.happened(&ENDED, at("2026-11-23T09:10:00Z"));
    assert_eq!(series.state(at("2026-11-23T09:10:00Z")), State::Scheduled);
    assert_eq!(series.starts_at, at("2026-11-30T09:00:00Z"));
    // Nobody joins the second one.
    assert_eq!(series.due_at(), Some(at("2026-12-01T09:30:00Z")));
    series.handle_due(at("2026-12-01T09:30:00Z"));
    assert_eq!(series.starts_at, at("2026-12-07T09:00:00Z"));
    series.happened(&joined(), at("2026-12-07T09:00:00Z"));
    series.happened(&ENDED, at("2026-12-07T09:10:00Z"));
    assert_eq!(series.state(at("2026-12-07T09:10:00Z")), State::Ended);
}

#[test]
fn ending_an_occurrence_before_it_begins_skips_it() {
    let mut series =
        meeting(&json!({"startsAt": "2026-11-23T09:00:00Z", "recurrence": "FREQ=DAILY;COUNT=2"}));
    series.end(EndReason::HostEnded, at(NOW)).unwrap();
    assert_eq!(series.starts_at, at("2026-11-24T09:00:00Z"));
    assert_eq!(series.cancel(), [Event::Emptied, Event::Cancelled]);
    assert_eq!(series.state(at(NOW)), State::Cancelled);
    assert!(series.end(EndReason::HostEnded, at(NOW)).is_err());
    assert_eq!(series.cancel(), []);
}

#[test]
fn what_the_room_reports_of_an_occurrence_that_was_ended_from_outside_is_history() {
    let mut series =
        meeting(&json!({"startsAt": "2026-11-23T09:00:00Z", "recurrence": "FREQ=DAILY;COUNT=3"}));
    series.happened(&joined(), at("2026-11-23T09:00:00Z"));
    series.end(EndReason::HostEnded, at("2026-11-23T09:10:00Z")).unwrap();
    series.happened(&joined(), at("2026-11-23T09:09:59Z"));
    assert_eq!(series.happened(&ENDED, at("2026-11-23T09:10:01Z")), [Event::Emptied]);
    assert_eq!(series.starts_at, at("2026-11-24T09:00:00Z"), "the second one is still to come");
}

#[test]
fn what_a_clock_decided_ahead_of_its_time_is_taken_back() {
    let (right, ahead) = (at("2026-11-23T10:00:00Z"), at("2026-11-26T10:00:00Z"));
    let mut planned = meeting(&json!({"startsAt": "2026-11-24T09:00:00Z"}));
    assert_eq!(planned.handle_due(ahead), [Event::Emptied, Event::Ended { reason: EndReason::Expired }]);
    planned.take_back(ahead);
    assert_eq!(planned.state(ahead), State::Expired, "by the same clock it stays so");
    planned.take_back(right);
    assert_eq!((planned.state(right), planned.room_record().is_ok()), (State::Scheduled, true));
    assert_eq!(planned.due_at(), Some(at("2026-11-25T09:30:00Z")), "and expires when it is time");
    assert_eq!(planned.handle_due(at("2026-11-25T09:30:00Z")).len(), 2);

    let mut series =
        meeting(&json!({"startsAt": "2026-11-23T11:00:00Z", "recurrence": "FREQ=DAILY;COUNT=9"}));
    assert_eq!(series.handle_due(ahead), []);
    assert_eq!(series.starts_at, at("2026-11-26T11:00:00Z"));
    series.take_back(right);
    assert_eq!(series.starts_at, at("2026-11-23T11:00:00Z"), "no occurrence is skipped");
}

#[test]
fn what_people_did_by_a_wrong_clock_is_not_taken_back() {
    let (right, ahead) = (at("2026-11-23T11:30:00Z"), at("2026-11-26T11:30:00Z"));
    let mut series =
        meeting(&json!({"startsAt": "2026-11-23T11:00:00Z", "recurrence": "FREQ=DAILY;COUNT=9"}));
    series.happened(&joined(), right);
    series.end(EndReason::HostEnded, ahead).unwrap();
    assert_eq!(series.starts_at, at("2026-11-27T11:00:00Z"));
    series.take_back(right);
    assert_eq!(
        series.starts_at,
        at("2026-11-24T11:00:00Z"),
        "the occurrence is over, the next one is tomorrow's"
    );
    let tomorrow = at("2026-11-24T11:01:00Z");
    assert_eq!(series.happened(&joined(), tomorrow)[0], Event::Started, "and begins when somebody comes");

    for end in [EndReason::HostEnded, EndReason::Expired] {
        let mut call = meeting(&json!({}));
        call.happened(&joined(), at(NOW));
        call.happened(&RoomHappening::Ended { reason: end, visited: true }, ahead);
        call.take_back(right);
        let expected = if end == EndReason::HostEnded { State::Ended } else { State::Open };
        assert_eq!(call.state(right), expected);
    }
    let mut live = meeting(&json!({"startsAt": "2026-11-23T11:00:00Z"}));
    live.happened(&joined(), ahead);
    live.take_back(right);
    assert_eq!(live.status, Status::Live, "somebody is there");
}

#[test]
fn calendars_hear_of_what_concerns_them() {
    let mut planned = meeting(&json!({"startsAt": "2026-11-21T10:00:00Z"}));
    let change = |json: Value| serde_json::from_value::<Change>(json).unwrap();
    let now = at(NOW);
    assert_eq!(planned.change(&change(json!({"lobby": true})), &key(), now).unwrap(), [Event::Changed]);
    assert_eq!(planned.sequence, 0);
    assert_eq!(planned.change(&change(json!({"lobby": true})), &key(), now).unwrap(), []);
    planned.change(&change(json!({"startsAt": "2026-11-21T11:00:00Z"})), &key(), now).unwrap();
    assert_eq!((planned.sequence, planned.starts_at), (1, at("2026-11-21T11:00:00Z")));
    assert!(planned.change(&change(json!({"title": "a\r\nb"})), &key(), now).is_err());
    planned.change(&change(json!({"password": "sesame"})), &key(), now).unwrap();
    let guarded = planned.password;
    assert!(guarded.is_some());
    planned.change(&change(json!({"title": "Retro"})), &key(), now).unwrap();
    assert_eq!(planned.password, guarded, "what is not named stays");
    planned.change(&change(json!({"password": null})), &key(), now).unwrap();
    assert_eq!(planned.password, None);
}

#[test]
fn bad_drafts_are_refused_with_the_field_that_is_wrong() {
    for (more, field) in [
        (json!({"title": ""}), "title"),
        (json!({"title": "  "}), "title"),
        (json!({"title": "\u{3164}"}), "title"),
        (json!({"title": "\u{200b}\u{2800}"}), "title"),
        (json!({"title": "a\r\nBcc: everybody"}), "title"),
        (json!({"title": "x".repeat(201)}), "title"),
        (json!({"title": "a\u{202e}b"}), "title"),
        (json!({"timeZone": "../../etc/passwd"}), "timeZone"),
        (json!({"timeZone": "Mars/Olympus"}), "timeZone"),
        (json!({"timeZone": ""}), "timeZone"),
        (json!({"startsAt": "9999-12-31T23:59:59Z"}), "startsAt"),
        (json!({"startsAt": "2027-02-30T10:00:00Z"}), "startsAt"),
        (json!({"startsAt": "tomorrow"}), "startsAt"),
        (json!({"startsAt": "2027-01-01T10:00:00"}), "startsAt"),
        (json!({"startsAt": "2050-01-01T10:00:00Z"}), "ten years"),
        (json!({"startsAt": "2020-01-01T10:00:00Z"}), "past"),
        (json!({"startsAt": "2027-01-01T10:00:00Z", "endsAt": "2027-01-01T09:00:00Z"}), "endsAt"),
        (json!({"startsAt": "2027-01-01T10:00:00Z", "endsAt": "2027-01-01T11:00:00Z"}), "durationMinutes"),
        (json!({"durationMinutes": 0}), "durationMinutes"),
        (json!({"durationMinutes": -5}), "-5"),
        (json!({"durationMinutes": 1e9}), "durationMinutes"),
        (json!({"durationMinutes": 1.5}), "1.5"),
        (json!({"capacity": 0}), "capacity"),
        (json!({"emptyTimeoutSeconds": 0}), "emptyTimeoutSeconds"),
        (json!({"password": ""}), "password"),
        (json!({"attendees": [{"name": "A", "email": "a@b.example\r\nBcc: c@d.example"}]}), "email"),
        (json!({"attendees": [{"name": "A\nB", "email": "a@b.example"}]}), "name"),
        (json!({"pasword": "sesame"}), "`pasword`"),
        (json!({"attendees": [{"name": "A", "email": "a@b.example", "rsvp": true}]}), "`rsvp`"),
        (json!({"webhookSecret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}), "webhookUrl"),
        (json!({"webhookUrl": "https://a.example", "webhookSecret": "sesame"}), "whsec_"),
        (json!({"webhookUrl": "https://a.example", "webhookSecret": "whsec_AAAA"}), "24 to 64"),
        (json!({"recurrence": "FREQ=SECONDLY"}), "DAILY"),
        (json!({"recurrence": "FREQ=DAILY;COUNT=3"}), "startsAt"),
    ] {
        let refusal = wanted(&more).unwrap_err();
        assert!(refusal.message.contains(field), "{more} gave {refusal}");
    }
}
