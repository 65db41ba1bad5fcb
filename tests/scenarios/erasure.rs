//! Finding and erasing stored meetings.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tests::Visavis;
use tests::api::{Api, host_token, wanted};
use tests::client::Ws;
use tests::postgres::with_both;

fn path(meeting: &Value) -> String {
    format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap())
}

/// The titles of a page.
fn titles(api: &Api, query: &str) -> Vec<String> {
    let answer = api.get(&format!("/api/v1/meetings?{query}"));
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let page = answer.json();
    page["meetings"].as_array().unwrap().iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nothing_is_left_of_a_meeting_that_is_erased() {
    with_both(|database| {
        let server = Visavis::start(database);
        let api = Api::with_key(&server, &["meetings:write"], database);
        let attendees = json!([{"name": "Ada Lovelace", "email": "ada@example.net"}]);
        let body = wanted(&json!({"title": "Secret", "attendees": attendees})).to_string();
        let book = || api.ask("POST", "/api/v1/meetings", &[("idempotency-key", "k")], Some(&body)).json();
        let meeting = book();
        let mut guest = Ws::connect(server.addr);
        guest.send(&json!({"type": "join", "room": meeting["code"], "name": "Guest"}));
        guest.until("welcome");
        // A cancelled meeting stays until it is erased, and can be cancelled only once.
        assert_eq!(api.ask("DELETE", &path(&meeting), &[], None).status, 204);
        guest.until("room-ended");
        let second = api.ask("DELETE", &path(&meeting), &[], None);
        assert_eq!((second.status, &second.json()["code"]), (409, &json!("invalid-state")));
        assert_eq!(api.get(&path(&meeting)).json()["state"], "cancelled");
        assert_eq!(api.ask("DELETE", &format!("{}?erase=true", path(&meeting)), &[], None).status, 204);
        assert_eq!(api.get(&path(&meeting)).status, 404);
        assert_eq!(api.ask("DELETE", &path(&meeting), &[], None).status, 404);
        assert_eq!(titles(&api, ""), [""; 0]);
        let own = meeting["invitations"][0]["joinUrl"].as_str().unwrap().rsplit_once('/').unwrap().1;
        for room in [own, meeting["code"].as_str().unwrap()] {
            let mut late = Ws::connect(server.addr);
            late.send(&json!({"type": "join", "room": room, "name": "Late"}));
            assert_eq!(late.next()["code"], "not-found", "{room}");
        }
        assert_ne!(book()["meeting"], meeting["meeting"], "the reply that repeats it is gone as well");
        // Open and with participants, using the host token.
        let open = api.book(&json!({"title": "Open"}));
        let mut guest = Ws::connect(server.addr);
        guest.send(&json!({"type": "join", "room": open["code"], "name": "Guest"}));
        guest.until("welcome");
        let host = Api::with_bearer(server.addr, host_token(&open));
        assert_eq!(host.ask("DELETE", &format!("{}?erase=true", path(&open)), &[], None).status, 204);
        guest.until("room-ended");
        assert_eq!(api.get(&path(&open)).status, 404);
        assert_eq!(api.ask("DELETE", &format!("{}?erase=maybe", path(&open)), &[], None).status, 404);
    });
}

#[test]
fn the_database_file_holds_no_word_of_it() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let attendees = json!([{"name": "Ada Lovelace", "email": "ada@example.net"}]);
    let meeting = api.book(&json!({"title": "Secret", "attendees": attendees}));
    assert_eq!(api.ask("DELETE", &format!("{}?erase=true", path(&meeting)), &[], None).status, 204);
    let file = server.folder().path().join("visavis-data/visavis.db");
    let rows = count(
        &file,
        "SELECT (SELECT COUNT(*) FROM meetings) + (SELECT COUNT(*) FROM invitations) + \
        (SELECT COUNT(*) FROM replies) + (SELECT COUNT(*) FROM presences) + (SELECT COUNT(*) FROM deliveries)",
    );
    assert_eq!(rows, 0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn count(file: &std::path::Path, query: &'static str) -> i64 {
    runtime().block_on(async {
        let mut connection =
            SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    })
}

#[test]
fn meetings_are_found_by_how_they_stand_and_when_they_begin() {
    with_both(|database| {
        let server = Visavis::start(database);
        let api = Api::with_key(&server, &["meetings:write"], database);
        let other = Api::with_key(&server, &["meetings:write"], database);
        api.book(&json!({"title": "open"}));
        for (title, at) in [
            ("march", "2027-03-28T07:00:00Z"),
            ("april", "2027-04-28T07:00:00Z"),
            ("may", "2027-05-28T07:00:00Z"),
        ] {
            api.book(&json!({"title": title, "startsAt": at}));
        }
        other.book(&json!({"title": "not mine"}));
        let off = api.book(&json!({"title": "off", "startsAt": "2027-04-01T07:00:00Z"}));
        assert_eq!(api.ask("DELETE", &path(&off), &[], None).status, 204);
        let ended = api.book(&json!({"title": "ended"}));
        assert_eq!(api.post(&format!("{}/end", path(&ended)), &json!({})).status, 200);
        assert_eq!(titles(&api, "state=open"), ["open"]);
        assert_eq!(titles(&api, "state=scheduled"), ["march", "april", "may"]);
        assert_eq!(titles(&api, "state=cancelled"), ["off"]);
        assert_eq!(titles(&api, "state=ended"), ["ended"]);
        assert_eq!(titles(&api, "state=expired"), [""; 0]);
        assert_eq!(titles(&api, "from=2027-03-29T00:00:00Z&to=2027-05-01T00:00:00Z"), ["april", "off"]);
        assert_eq!(
            titles(&api, "state=scheduled&from=2027-04-28T07:00:00Z&to=2027-05-28T07:00:00Z"),
            ["april"]
        );
        let first = api.get("/api/v1/meetings?state=scheduled&limit=2").json();
        let next = first["next"].as_str().unwrap();
        assert_eq!(titles(&api, &format!("state=scheduled&limit=2&after={next}")), ["may"]);
        for bad in ["state=over", "from=yesterday", "to=1", "States=open", "state=open&page=2"] {
            let answer = api.get(&format!("/api/v1/meetings?{bad}"));
            assert_eq!(answer.status, 400, "{bad}");
        }
        assert_eq!(Api::with_key(&server, &["rooms"], database).get("/api/v1/rooms?state=open").status, 400);
        assert_eq!(
            Api::with_key(&server, &["recordings"], database).get("/api/v1/recordings?rom=x").status,
            400
        );
        assert_eq!(api.ask("DELETE", &format!("{}?eras=true", path(&ended)), &[], None).status, 400);
    });
}
