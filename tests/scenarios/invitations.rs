//! Invited people can join a meeting even where join tokens are required: with the meeting's code, with a code of their
//! own, or with a token requested by the meeting's owner.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use tests::Visavis;
use tests::api::{Api, host_token};
use tests::client::Ws;
use tests::tokens::{SECRET, token};

/// Tries to join a room; returns the welcome or the error.
fn knock(server: &Visavis, room: &str, token: Option<&str>) -> (Ws, Value) {
    let mut ws = Ws::connect(server.addr);
    ws.send(&json!({"type": "join", "room": room, "name": "Somebody", "token": token}));
    let answer = ws.next();
    (ws, answer)
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("no {name} in {of}"))
}

#[test]
fn a_code_is_an_invitation_where_tokens_are_needed() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let meeting = api.book(&json!({"capacity": 2, "password": "sesame"}));
    let code = text(&meeting, "code");
    let guest = |room: &str, password: &str| {
        let mut ws = Ws::connect(server.addr);
        ws.send(&json!({"type": "join", "room": room, "name": "Guest", "password": password}));
        let answer = ws.next();
        (ws, answer)
    };
    assert_eq!(guest(code, "").1["code"], "wrong-password", "it is an invitation and no more");
    let (_ada, welcome) = guest(code, "sesame");
    assert_eq!(
        (&welcome["state"], &welcome["room"]["id"]),
        (&json!("joined"), &meeting["room"]),
        "{welcome}"
    );
    let (_bob, welcome) = guest(&code.replace('-', "").to_uppercase(), "sesame");
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    assert_eq!(guest(code, "sesame").1["code"], "room-full");
    let refused = guest(text(&meeting, "room"), "sesame").1;
    assert_eq!((&refused["code"], &refused["reason"]), (&json!("unauthorized"), &json!("invitation-needed")));
    assert_eq!(guest("ccc-ddd-22f", "").1["code"], "not-found");
    assert_eq!(knock(&server, code, Some(host_token(&meeting))).1["type"], "welcome");
}

#[test]
fn each_invited_address_has_a_way_in_of_its_own_which_ends_with_the_invitation() {
    for arguments in [&["--auth-key", SECRET][..], &[]] {
        let server = Visavis::start(arguments);
        let api = Api::with_key(&server, &["meetings:write"], &[]);
        let (ada, bob) = (
            json!({"name": "Ada", "email": "ada@example.net"}),
            json!({"name": "Bob", "email": "bob@example.net"}),
        );
        let meeting = api.book(&json!({"startsAt": "2027-03-28T07:00:00Z", "attendees": [ada, bob]}));
        assert_eq!(meeting["attendees"], json!([ada, bob]));
        let own = |meeting: &Value, email: &str| {
            let all = meeting["invitations"].as_array().unwrap();
            all.iter().find(|one| one["email"] == email).cloned()
        };
        let (adas, bobs) =
            (own(&meeting, "ada@example.net").unwrap(), own(&meeting, "bob@example.net").unwrap());
        let id = |own: &Value| text(own, "joinUrl").rsplit_once("/m/").unwrap().1.to_owned();
        assert!(text(&adas, "code") != text(&bobs, "code") && text(&adas, "code") != text(&meeting, "code"));
        for own in [&adas, &bobs] {
            assert_eq!(knock(&server, text(own, "code"), None).1["code"], "not-started", "{own}");
            // What the owner of the invitation sees reveals no other way in.
            let page = Api::anonymous(server.addr).get(&format!("/api/v1/invitations/{}", id(own)));
            assert_eq!((page.status, &page.json()["code"]), (200, &own["code"]));
            let calendar =
                Api::anonymous(server.addr).get(&format!("/api/v1/meetings/{}/calendar.ics", id(own)));
            assert!(calendar.body.replace("\r\n ", "").contains(text(own, "code")), "{}", calendar.body);
            for shown in [&page.body, &calendar.body.replace("\r\n ", "")] {
                assert!(
                    !shown.contains(text(&meeting, "meeting")) && !shown.contains(text(&meeting, "code")),
                    "{shown}"
                );
            }
            let picture = Api::anonymous(server.addr).get(&format!("/api/v1/invitations/{}/qr.svg", id(own)));
            assert_eq!(picture.status, 200);
        }
        let path = format!("/api/v1/meetings/{}", text(&meeting, "meeting"));
        let change = json!({"attendees": [{"name": "Ada L.", "email": "ADA@example.net"}]}).to_string();
        let changed = api.ask("PATCH", &path, &[("if-match", "*")], Some(&change)).json();
        assert_eq!(
            changed["invitations"][0]["code"], adas["code"],
            "the same address keeps its own: {changed}"
        );
        assert_eq!(knock(&server, text(&adas, "code"), None).1["code"], "not-started");
        assert_eq!(knock(&server, text(&bobs, "code"), None).1["code"], "not-found", "withdrawn");
        assert_eq!(
            Api::anonymous(server.addr).get(&format!("/api/v1/invitations/{}", id(&bobs))).status,
            404
        );
        // Only those who may change the meeting see the ways in of others.
        let reader = Api::with_key(&server, &["meetings:read"], &[]).get(&path).json();
        assert_eq!((&reader["invitations"], &reader["hostUrl"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn who_booked_lets_people_in_and_so_does_the_meetings_host_token() {
    for arguments in [&["--auth-key", SECRET][..], &[]] {
        let server = Visavis::start(arguments);
        let api = Api::with_key(&server, &["meetings:write"], &[]);
        let other = Api::with_key(&server, &["meetings:write"], &[]);
        let meeting = api.book(&json!({"lobby": true}));
        let (room, code) = (text(&meeting, "room"), text(&meeting, "code"));
        let host = Api::with_bearer(server.addr, host_token(&meeting));
        let mut people = Vec::new();
        for (who, named) in [(&api, code), (&api, room), (&host, code), (&host, room)] {
            let minted =
                who.post(&format!("/api/v1/rooms/{named}/tokens"), &json!({"name": "Ada", "sub": "user-7"}));
            assert_eq!(minted.status, 201, "{named}: {}", minted.body);
            let minted = minted.json();
            let token = text(&minted, "token");
            assert_eq!(text(&minted, "url"), format!("http://{}/r/{room}#token={token}", server.addr));
            for named in [code, room, &code.replace('-', " ")] {
                let (ws, welcome) = knock(&server, named, Some(token));
                assert_eq!(
                    (&welcome["state"], &welcome["self"]["name"]),
                    (&json!("joined"), &json!("Ada")),
                    "{welcome}"
                );
                people.push(ws);
            }
            let refused = knock(&server, "elsewhere", Some(token)).1;
            assert_eq!(
                (&refused["code"], &refused["reason"]),
                (&json!("unauthorized"), &json!("other-room"))
            );
        }
        let listed = api.get(&format!("/api/v1/rooms/{code}/participants")).json();
        assert_eq!(listed["participants"].as_array().unwrap().len(), people.len());
        assert!(
            listed["participants"].as_array().unwrap().iter().all(|one| one["sub"] == "user-7"),
            "{listed}"
        );
        assert_eq!(api.get(&format!("/api/v1/rooms/{code}/peers")).json()["peers"], listed["participants"]);
        assert_eq!(api.get(&format!("/api/v1/rooms/{code}")).json()["peers"], people.len());
        let tokens = format!("/api/v1/rooms/{code}/tokens");
        for (who, path, status) in [
            (&other, &*tokens, 403),
            (&Api::with_key(&server, &["meetings:read"], &[]), &tokens, 403),
            (&Api::anonymous(server.addr), &tokens, 401),
            (&Api::with_bearer(server.addr, "nonsense"), &tokens, 401),
            (&api, "/api/v1/rooms/standup/tokens", 403),
            (&host, "/api/v1/rooms/standup/tokens", 403),
            (&api, "/api/v1/rooms/ccc-ddd-22f/tokens", 404),
        ] {
            let answer = who.post(path, &json!({}));
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
        }
        let typo = api.post(&tokens, &json!({"nmae": "Ada"}));
        assert!(typo.status == 400 && typo.body.contains("nmae"), "{}", typo.body);
        assert_eq!(api.post(&format!("/api/v1/rooms/{code}/end"), &json!({})).status, 204);
        let over = api.post(&tokens, &json!({}));
        assert_eq!((over.status, &over.json()["code"]), (410, &json!("room-ended")));
    }
}

#[test]
fn a_token_of_another_service_may_name_a_meeting_by_its_code_and_a_room_by_its_name() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let (meeting, second) = (api.book(&json!({})), api.book(&json!({})));
    let (room, code) = (text(&meeting, "room"), text(&meeting, "code"));
    for named in [code, room, &code.replace('-', "").to_uppercase()] {
        for asked in [code, room] {
            let welcome = knock(&server, asked, Some(&token(named, json!({})))).1;
            assert_eq!(welcome["room"]["id"], meeting["room"], "{named} at {asked}: {welcome}");
        }
        let refused = knock(&server, text(&second, "room"), Some(&token(named, json!({})))).1;
        assert_eq!(refused["reason"], "other-room", "{named}");
    }
    let welcome = knock(&server, "team call", Some(&token(" Team Call ", json!({})))).1;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    let shown =
        Api::with_bearer(server.addr, &token(code, json!({}))).get(&format!("/api/v1/rooms/{code}")).json();
    assert_eq!(shown["room"], meeting["room"], "{shown}");
    assert!(shown["peers"].as_u64().is_some(), "{shown}");
    // Refusals state what is wrong with a token.
    let expired = knock(&server, "standup", Some(&token("standup", json!({"exp": 1})))).1;
    assert_eq!((&expired["code"], &expired["reason"]), (&json!("unauthorized"), &json!("expired")));
    let far = knock(&server, "standup", Some(&token("standup", json!({"exp": 1_795_000_000_000_u64})))).1;
    assert!(text(&far, "message").contains("is this in milliseconds?"), "{far}");
}

#[test]
fn what_a_token_says_of_its_bearer_stands_for_good() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    let api = Api::with_key(&server, &["rooms"], &[]);
    let token = token("standup", json!({"sub": "user-7", "metadata": {"class": "7b"}}));
    let mut ws = Ws::connect(server.addr);
    ws.send(&json!({"type": "join", "room": "standup", "name": "Ada", "token": token, "metadata": {"class": "mine"}}));
    let welcome = ws.until("welcome");
    assert_eq!(welcome["self"]["metadata"], json!({"class": "7b"}));
    ws.send(&json!({"type": "update", "metadata": {"class": "8a"}, "seq": 1}));
    assert_eq!(ws.until("error")["code"], "forbidden");
    ws.send(&json!({"type": "update", "hand": true, "seq": 2}));
    ws.until("ack");
    let listed = api.get("/api/v1/rooms/standup/participants").json();
    let one = &listed["participants"][0];
    assert_eq!((&one["sub"], &one["metadata"]), (&json!("user-7"), &json!({"class": "7b"})));
    assert_eq!(welcome["self"]["sub"], Value::Null, "the others are not told who it is elsewhere");
}
