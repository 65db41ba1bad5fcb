//! Invitations by mail: delivery to a mail server over STARTTLS with a login, also after it was unavailable.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::{Api, wanted};
use tests::mime::Part;
use tests::postgres::with_both;
use tests::smtp::{MailServer, Mood};
use tests::{Visavis, run};

const FROM: &str = "Calls <calls@example.org>";
const PUBLIC: &str = "https://calls.example";

/// A server that sends mail there, and trusts that mail server.
fn start(folder: Arc<TempDir>, mail: &MailServer, database: &[&str]) -> Visavis {
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, mail.certificate()).unwrap();
    let url = mail.url();
    let arguments = [database, &["--smtp", &url, "--mail-from", FROM, "--public-url", PUBLIC]].concat();
    Visavis::start_with(folder, &arguments, &[("SSL_CERT_FILE", trusted.to_str().unwrap())])
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

fn ada() -> Value {
    json!({"name": "Ada \"Ä\" Lovelace", "email": "ada@example.net"})
}

fn path(meeting: &Value) -> String {
    format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap())
}

/// The value of a property of the event, or of the calendar around it.
fn property<'a>(calendar: &'a str, name: &str) -> &'a str {
    let (head, event) = calendar.split_once("BEGIN:VEVENT").unwrap();
    let mut lines = event.split("\r\n").chain(head.split("\r\n"));
    let line = lines.find(|line| line.split([':', ';']).next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {calendar}")).split_once([':', ';']).unwrap().1
}

/// The calendar part of an invitation: checks its method and recipient, and that the attached file has the same
/// content.
fn calendar_of(letter: &tests::smtp::Letter, to: &str, method: &str) -> String {
    assert_eq!((&*letter.from, &letter.to), ("calls@example.org", &vec![to.to_owned()]));
    let whole = Part::read(&letter.data);
    assert!(whole.header("content-type").starts_with("multipart/mixed"));
    assert!(whole.header("from").ends_with("<calls@example.org>") && whole.header("to").contains(to));
    let [alternatives, attachment] = &whole.parts[..] else { panic!("{whole:?}") };
    assert!(alternatives.header("content-type").starts_with("multipart/alternative"));
    let [plain, request] = &alternatives.parts[..] else { panic!("{alternatives:?}") };
    assert!(plain.header("content-type").starts_with("text/plain"));
    assert_eq!(
        request.header("content-type").replace("; ", ";"),
        format!("text/calendar;method={method};charset=utf-8")
    );
    assert!(attachment.header("content-disposition").starts_with("attachment; filename=\"invite.ics\""));
    assert_eq!(attachment.text.trim_end(), request.text.trim_end());
    let calendar = request.text.replace("\r\n ", "");
    assert_eq!(property(&calendar, "METHOD"), method);
    assert_eq!(property(&calendar, "ORGANIZER"), "mailto:calls@example.org");
    calendar
}

#[test]
fn an_invitation_arrives_as_calendars_read_it_and_so_do_its_change_and_its_end() {
    let mail = MailServer::open(Mood::Takes);
    let server = start(folder(), &mail, &[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let bob = json!({"name": "Bob", "email": "bob@example.com"});
    let meeting = api.book(&json!({
        "title": "Planung für März; Teil 1", "startsAt": "2027-03-28T07:00:00Z", "attendees": [ada(), bob],
    }));
    let mut letters = [mail.next(), mail.next()];
    letters.sort_by(|one, other| one.to.cmp(&other.to));
    let first = calendar_of(&letters[0], "ada@example.net", "REQUEST");
    calendar_of(&letters[1], "bob@example.com", "REQUEST");
    let uid = property(&first, "UID");
    assert_eq!((property(&first, "SEQUENCE"), property(&first, "STATUS")), ("0", "CONFIRMED"));
    assert_eq!(property(&first, "DTSTART"), "TZID=Europe/Berlin:20270328T090000");
    assert_eq!(property(&first, "SUMMARY"), "Planung für März\\; Teil 1");
    let attendee = property(&first, "ATTENDEE");
    assert!(attendee.starts_with("CN=\"Ada Ä Lovelace\";") && attendee.ends_with(":mailto:ada@example.net"));
    let own = &meeting["invitations"][0];
    assert_eq!(own["email"], "ada@example.net");
    let join_url = own["joinUrl"].as_str().unwrap();
    assert_eq!(property(&first, "URL"), join_url, "a link of her own");
    let text = &Part::read(&letters[0].data).parts[0].parts[0].text;
    assert!(text.contains(join_url) && text.contains("2027-03-28 09:00 (Europe/Berlin)"), "{text}");
    assert!(!letters[0].data.contains("host="), "the host's power is not sent around");

    // The meeting is moved, and Bob is no longer invited.
    let change = json!({"startsAt": "2027-03-28T08:00:00Z", "attendees": [ada()]}).to_string();
    assert_eq!(api.ask("PATCH", &path(&meeting), &[("if-match", "*")], Some(&change)).status, 200);
    let mut letters = [mail.next(), mail.next()];
    letters.sort_by(|one, other| one.to.cmp(&other.to));
    let second = calendar_of(&letters[0], "ada@example.net", "REQUEST");
    assert_eq!((property(&second, "UID"), property(&second, "SEQUENCE")), (uid, "1"));
    assert_eq!(property(&second, "DTSTART"), "TZID=Europe/Berlin:20270328T100000");
    let withdrawn = calendar_of(&letters[1], "bob@example.com", "CANCEL");
    assert_eq!(property(&withdrawn, "UID"), uid);
    // Changes irrelevant to calendars are not mailed.
    let change = json!({"lobby": true, "capacity": 5}).to_string();
    assert_eq!(api.ask("PATCH", &path(&meeting), &[("if-match", "*")], Some(&change)).status, 200);
    assert_eq!(api.ask("DELETE", &path(&meeting), &[], None).status, 204);
    let last = calendar_of(&mail.next(), "ada@example.net", "CANCEL");
    assert_eq!((property(&last, "UID"), property(&last, "SEQUENCE")), (uid, "2"));
    assert_eq!(property(&last, "STATUS"), "CANCELLED");
    assert_eq!(mail.unread(), []);
}

#[test]
fn letters_wait_for_a_mail_server_that_is_busy_also_over_a_kill() {
    with_both(|database| {
        let mail = MailServer::open(Mood::Busy);
        let mut server = start(folder(), &mail, database);
        let api = Api::with_key(&server, &["meetings:write"], database);
        let book = |title: &str| {
            let wanted = wanted(&json!({"title": title, "attendees": [ada()]})).to_string();
            api.ask("POST", "/api/v1/meetings", &[("idempotency-key", title)], Some(&wanted))
        };
        assert_eq!(book("First").status, 201);
        // It is retried automatically, and a repeated request is one invitation.
        mail.next_turned_away();
        assert_eq!(book("First").status, 201);
        assert_eq!(mail.next_turned_away(), "ada@example.net");
        assert_eq!(book("Second").status, 201);
        mail.next_turned_away();
        server.kill();
        mail.becomes(Mood::Takes);
        let server = start(server.folder(), &mail, database);
        let mut subjects = [mail.next(), mail.next()].map(|letter| {
            calendar_of(&letter, "ada@example.net", "REQUEST");
            Part::read(&letter.data).header("subject").to_owned()
        });
        subjects.sort();
        assert_eq!(subjects, ["First", "Second"]);
        // An accepted letter is not sent again.
        api.at(server.addr).book(&json!({"attendees": [ada()]}));
        assert_eq!(Part::read(&mail.next().data).header("subject"), "Standup");
        assert_eq!(mail.unread(), []);
    });
}

#[test]
fn a_letter_that_is_refused_for_good_holds_up_no_other() {
    let mail = MailServer::open(Mood::Refuses("nobody@example.net"));
    let server = start(folder(), &mail, &[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let nobody = json!({"name": "Nobody", "email": "nobody@example.net"});
    let meeting = api.book(&json!({"attendees": [nobody, ada()]}));
    calendar_of(&mail.next(), "ada@example.net", "REQUEST");
    server.logged("a letter is given up: the mail server refuses it");
    // The next letter to the same address follows.
    mail.becomes(Mood::Takes);
    assert_eq!(api.ask("DELETE", &path(&meeting), &[], None).status, 204);
    let mut told = [mail.next(), mail.next()].map(|letter| letter.to);
    told.sort();
    assert_eq!(told, [["ada@example.net"], ["nobody@example.net"]]);
}

#[test]
fn mail_is_sent_for_keys_alone_and_not_in_the_clear() {
    let mail = MailServer::open(Mood::Takes);
    let server = start(folder(), &mail, &[]);
    let body = wanted(&json!({"attendees": [ada()]}));
    let refused = Api::anonymous(server.addr).post("/api/v1/meetings", &body);
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("forbidden")));
    drop(server);
    // A server that does not trust the mail server's certificate sends nothing, and logs the reason.
    let (elsewhere, url) = (folder(), mail.url());
    let server = Visavis::start_in(
        Arc::clone(&elsewhere),
        &["--smtp", &url, "--mail-from", FROM, "--public-url", PUBLIC],
    );
    Api::with_key(&server, &["meetings:write"], &[]).book(&json!({"attendees": [ada()]}));
    server.logged("a letter waits: the mail server did not take it");
    assert_eq!(mail.unread(), []);
    let shown =
        run(elsewhere.path(), &["--smtp", &url, "--mail-from", FROM, "--public-url", PUBLIC, "config"], &[]);
    assert!(!String::from_utf8(shown.stdout).unwrap().contains("s3same"), "the password is shown to nobody");
}
