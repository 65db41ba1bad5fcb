use serde_json::{Value, json};
use signaling_core::ServerKey;
use signaling_core::testing::SeededEntropy;

use super::*;
use crate::meeting::{Change, Wanted};

const ORIGIN: &str = "https://calls.example";

fn key() -> ServerKey {
    ServerKey::new([1; 32])
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000)
}

fn mailer() -> Mailer {
    Mailer::new("smtp://localhost:2525", "Calls <calls@example.org>").unwrap()
}

fn planning(attendees: &Value) -> Meeting {
    let wanted: Wanted = serde_json::from_value(json!({
        "title": "Plan für März", "startsAt": "2027-03-28T07:00:00Z", "timeZone": "Europe/Berlin", "durationMinutes": 30,
        "attendees": attendees,
    }))
    .unwrap();
    let draft = wanted.check(now()).unwrap();
    Meeting::new(&draft, Some("acme".into()), &key(), now(), &mut SeededEntropy::new(2))
}

fn written(before: Option<&Meeting>, meeting: &Meeting) -> Vec<Letter> {
    mailer().letters(before, meeting, ORIGIN, now(), &mut SeededEntropy::new(3)).unwrap()
}

/// The recipient and the calendar method of each letter.
fn told(letters: &[Letter]) -> Vec<(&str, &str)> {
    let method = |letter: &Letter| {
        let methods = ["method=REQUEST", "method=CANCEL"];
        methods.into_iter().find(|method| letter.message.contains(method)).unwrap()
    };
    letters.iter().map(|letter| (&*letter.recipient, method(letter))).collect()
}

#[test]
fn each_is_asked_told_of_changes_and_told_off_alone() {
    let ada = json!({"name": "Ada Ä.", "email": "ada@example.org"});
    let bob = json!({"name": "Bob", "email": "bob@example.net"});
    let cy = json!({"name": "Cy", "email": "cy@example.com"});
    let first = planning(&json!([ada, bob]));
    let invitations = written(None, &first);
    let asked = "method=REQUEST";
    assert_eq!(told(&invitations), [("ada@example.org", asked), ("bob@example.net", asked)]);
    assert!(invitations.iter().all(|letter| letter.message.is_ascii()));

    let change = |meeting: &Meeting, change: Value| {
        let mut changed = meeting.clone();
        let change: Change = serde_json::from_value(change).unwrap();
        changed.change(&change, &key(), now()).unwrap();
        changed
    };
    let guarded = change(&first, json!({"lobby": true, "password": "sesame"}));
    assert_eq!(written(Some(&first), &guarded), [], "calendars need not know");
    let moved = change(&first, json!({"startsAt": "2027-03-28T08:00:00Z"}));
    let changes = written(Some(&first), &moved);
    assert_eq!(told(&changes), told(&invitations));
    assert!(changes[0].message.contains("Changed:"), "{}", changes[0].message);
    let other = change(&moved, json!({"attendees": [{"name": "Ada", "email": "ADA@example.org"}, cy]}));
    let letters = written(Some(&moved), &other);
    let off = "method=CANCEL";
    assert_eq!(
        told(&letters),
        [("ADA@example.org", asked), ("cy@example.com", asked), ("bob@example.net", off)],
        "the same address, however it is written"
    );
    assert!(letters[0].message.contains("Changed:") && !letters[1].message.contains("Changed:"));
    let mut cancelled = other.clone();
    cancelled.cancel();
    let letters = written(Some(&other), &cancelled);
    assert_eq!(told(&letters), [("ADA@example.org", off), ("cy@example.com", off)]);
    assert_eq!(written(Some(&cancelled), &cancelled), [], "once");
}

#[test]
fn who_is_no_longer_asked_does_not_hear_that_the_meeting_is_called_off() {
    let ada = Attendee { name: "Ada".into(), email: "ada@example.org".into() };
    let meeting = planning(&json!([]));
    let purpose = Purpose::Withdraw { organiser: "calls@example.org", attendee: &ada };
    let file = calendar::file(&meeting, meeting.way(), ORIGIN, &purpose);
    assert!(file.contains("METHOD:CANCEL\r\n") && !file.contains("STATUS:"), "{file}");
    assert!(file.contains("ATTENDEE;CN=\"Ada\";ROLE=REQ-PARTICIPANT:mailto:ada@example.org\r\n"), "{file}");
}
