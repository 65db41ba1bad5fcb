//! Invalid requests about meetings are refused with a reason, and have no effect.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::api::{Api, host_token, wanted};
use tests::client::{Ws, post};
use tests::postgres::with_both;
use tests::tokens::{SECRET, jwt};
use tests::{Answer, Visavis, request};

/// Checks a refusal: the status in head and body, and a sentence that contains this text.
#[track_caller]
fn refused(answer: &Answer, status: u16, word: &str, what: &str) {
    assert_eq!(answer.status, status, "{what} gave {}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}");
    assert!(problem["type"].as_str().unwrap().starts_with("urn:visavis:error:"), "{what}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(word), "{what} gave {detail:?}, without {word:?}");
}

/// Invalid meetings: the fields, the status, and what the refusal names.
fn wrong() -> Vec<(Value, u16, &'static str)> {
    let invite = |name: &str, email: &str| json!({"attendees": [{"name": name, "email": email}]});
    let ada = json!({"name": "Ada", "email": "ada@example.net"});
    vec![
        (json!({"pasword": "sesame"}), 400, "`pasword`"),
        (json!({"startsAt": "9999-12-31T23:59:59Z"}), 400, "startsAt"),
        (json!({"startsAt": "+009999-12-31T23:59:59Z"}), 400, "startsAt"),
        (json!({"startsAt": "2027-02-30T10:00:00Z"}), 400, "startsAt"),
        (json!({"startsAt": "2027-01-01T10:00:00"}), 400, "startsAt"),
        (json!({"startsAt": "tomorrow"}), 400, "startsAt"),
        (json!({"startsAt": 1_800_000_000}), 400, "integer"),
        (json!({"startsAt": "2099-01-01T10:00:00Z"}), 409, "ten years"),
        (json!({"startsAt": "2020-01-01T10:00:00Z"}), 409, "past"),
        (json!({"durationMinutes": 0}), 400, "durationMinutes"),
        (json!({"durationMinutes": -30}), 400, "-30"),
        (json!({"durationMinutes": 10_081}), 400, "durationMinutes"),
        (json!({"durationMinutes": 4_294_967_296_u64}), 400, "4294967296"),
        (json!({"durationMinutes": 1e300}), 400, "1e"),
        (json!({"durationMinutes": 1.5}), 400, "1.5"),
        (json!({"durationMinutes": "30"}), 400, "string"),
        (json!({"timeZone": "../../etc/passwd"}), 400, "timeZone"),
        (json!({"timeZone": "/etc/localtime"}), 400, "timeZone"),
        (json!({"timeZone": "Europe/Berlin\u{0}"}), 400, "timeZone"),
        (json!({"timeZone": "UTC+25"}), 400, "timeZone"),
        (json!({"timeZone": ""}), 400, "timeZone"),
        (json!({"title": "Standup\r\nBcc: everybody@example.org"}), 400, "title"),
        (json!({"title": "a\u{0}b"}), 400, "title"),
        (json!({"title": "a\u{202e}b"}), 400, "title"),
        (json!({"title": "   "}), 400, "title"),
        (json!({"title": "x".repeat(201)}), 400, "title"),
        (json!({"title": ["Standup"]}), 400, "sequence"),
        (json!({"capacity": 0}), 400, "capacity"),
        (json!({"capacity": -1}), 400, "-1"),
        (json!({"capacity": 5_001}), 400, "capacity"),
        (json!({"lobby": "yes"}), 400, "string"),
        (json!({"password": ""}), 400, "password"),
        (json!({"password": "x".repeat(257)}), 400, "password"),
        (json!({"emptyTimeoutSeconds": 0}), 400, "emptyTimeoutSeconds"),
        (invite("Ada\r\nCc: eve@example.org", "ada@example.net"), 400, "name"),
        (invite("Ada", "ada@example.net\r\nRCPT TO:<eve@example.org>"), 400, "email"),
        (invite("Ada", "ada@example.net,eve@example.org"), 400, "email"),
        (invite("Ada", "\"a b\"@example.net"), 400, "email"),
        (invite("Ada", "ada@localhost"), 400, "email"),
        (invite("Ada", "ada@-.example"), 400, "email"),
        (invite("", "ada@example.net"), 400, "name"),
        (json!({"attendees": [{"name": "Ada"}]}), 400, "email"),
        (json!({"attendees": "ada@example.net"}), 400, "string"),
        (json!({"attendees": vec![ada; 101]}), 400, "100"),
        (json!({"startsAt": "2030-01-01T10:00:00Z", "recurrence": "FREQ=SECONDLY;INTERVAL=1"}), 400, "DAILY"),
        (json!({"startsAt": "2030-01-01T10:00:00Z", "recurrence": "FREQ=DAILY"}), 400, "COUNT"),
        (json!({"startsAt": "2030-01-01T10:00:00Z", "recurrence": "FREQ=DAILY;COUNT=1000000"}), 400, "COUNT"),
        (
            json!({"startsAt": "2030-01-01T10:00:00Z", "recurrence": "FREQ=DAILY;COUNT=2;BYSECOND=1"}),
            400,
            "BYSECOND",
        ),
        (
            json!({"startsAt": "2030-01-01T10:00:00Z", "recurrence": "FREQ=DAILY;COUNT=2\r\nATTENDEE:x"}),
            400,
            "COUNT",
        ),
        (json!({"webhookUrl": "https://hooks.example/\r\nx: y"}), 400, "webhookUrl"),
        (json!({"webhookUrl": "https://hooks.example/\u{0}"}), 400, "webhookUrl"),
        (json!({"webhookUrl": "http://169.254.169.254/latest"}), 400, "webhookUrl"),
        (json!({"webhookUrl": "file:///etc/passwd"}), 400, "webhookUrl"),
    ]
}

#[test]
fn a_meeting_that_makes_no_sense_is_neither_booked_nor_made_of_another() {
    with_both(|database| {
        let server = Visavis::start(database);
        let api = Api::with_key(&server, &["meetings:write"], database);
        let meeting = api.book(&json!({"startsAt": "2030-01-01T09:00:00Z"}));
        let path = format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
        for (fields, status, word) in wrong() {
            let booked = api.post("/api/v1/meetings", &wanted(&fields));
            refused(&booked, status, word, &format!("booking {fields}"));
            let changed = api.ask("PATCH", &path, &[("if-match", "*")], Some(&fields.to_string()));
            // A start time in the past is not refused for a meeting that has already begun.
            refused(&changed, status, word, &format!("changing {fields}"));
        }
        // Applies only to a new one.
        let backwards = json!({"startsAt": "2030-01-01T10:00:00Z", "endsAt": "2030-01-01T09:00:00Z"});
        refused(&api.post("/api/v1/meetings", &wanted(&backwards)), 400, "endsAt", "an end before the start");
        let weak = json!({"webhookUrl": "https://a.example/", "webhookSecret": "sesame"});
        refused(&api.post("/api/v1/meetings", &wanted(&weak)), 400, "whsec_", "a secret that is none");
        for missing in ["title", "timeZone", "durationMinutes"] {
            let mut less = wanted(&json!({}));
            less.as_object_mut().unwrap().remove(missing);
            refused(&api.post("/api/v1/meetings", &less), 400, missing, missing);
        }
        let repeated = wanted(&json!({"recurrence": "FREQ=DAILY;COUNT=2"}));
        refused(&api.post("/api/v1/meetings", &repeated), 409, "startsAt", "a series without a time");

        assert_eq!(api.get(&path).header("etag"), "\"1\"", "nothing has come of it");
        assert_eq!(api.get("/api/v1/meetings").json()["meetings"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn bodies_and_headers_that_are_none_are_refused_before_they_are_looked_into() {
    let server = Visavis::start(&[]);
    let deep = format!(r#"{{"title": {}1{}}}"#, "[".repeat(500), "]".repeat(500));
    for body in [
        &b""[..],
        b"{",
        b"null",
        b"7",
        b"[]",
        b"\"x\"",
        b"title=Standup",
        b"\xff\xfe{}",
        b"{\"title\": \"\xff\"}",
        deep.as_bytes(),
    ] {
        let kind = [("content-type", "application/json")];
        let answer = request(server.addr, "POST", "/api/v1/meetings", &kind, Some(body));
        refused(&answer, 400, "understood", &String::from_utf8_lossy(&body[..body.len().min(40)]));
    }
    let good = wanted(&json!({})).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answer = request(
            server.addr,
            "POST",
            "/api/v1/meetings",
            &[("content-type", kind)],
            Some(good.as_bytes()),
        );
        refused(&answer, 415, "application/json", kind);
    }
    let api = Api::anonymous(server.addr);
    let huge = wanted(&json!({"title": "x".repeat(70_000)}));
    refused(&api.post("/api/v1/meetings", &huge), 413, "too large", "a huge body");
    let long = "k".repeat(256);
    for key in ["", &long, "schlüssel"] {
        let answer = api.ask("POST", "/api/v1/meetings", &[("idempotency-key", key)], Some(&good));
        refused(&answer, 400, "idempotency-key", key);
    }
    refused(&api.ask("PUT", "/api/v1/meetings", &[], Some(&good)), 405, "methods", "PUT");
    for scheme in ["Basic dXNlcjpwYXNz", "Bearer", "vsk_AAAA"] {
        let answer = api.ask("POST", "/api/v1/meetings", &[("authorization", scheme)], Some(&good));
        refused(&answer, 401, "Bearer", scheme);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[test]
fn anothers_meetings_are_not_there_and_neither_are_ids_that_are_none() {
    with_both(|database| {
        let server = Visavis::start(database);
        let ada = Api::with_key(&server, &["meetings:write"], &[database, &["--customer", "acme"]].concat());
        let eve = Api::with_key(&server, &["meetings:write"], &[database, &["--customer", "other"]].concat());
        let meeting = ada.book(&json!({"startsAt": "2030-01-01T09:00:00Z"}));
        let host = Api::with_bearer(server.addr, host_token(&eve.book(&json!({}))));
        let id = meeting["meeting"].as_str().unwrap();
        let long = "0".repeat(5_000);
        let made_up = "0123456789abcdef";
        let change = json!({"title": "Mine"}).to_string();
        for other in [id, made_up, "..%2F..%2Fetc%2Fpasswd", "%00", "'%20OR%20''='", &long] {
            let path = format!("/api/v1/meetings/{other}");
            for (who, api) in [("another customer", &eve), ("another's host", &host)] {
                let asked = [
                    api.get(&path),
                    api.ask("PATCH", &path, &[("if-match", "*")], Some(&change)),
                    api.ask("DELETE", &path, &[], None),
                    api.post(&format!("{path}/end"), &json!({})),
                    api.get(&format!("{path}/calendar.ics")),
                    api.get(&format!("{path}/deliveries")),
                    api.post(&format!("{path}/webhook-secret"), &json!({})),
                    api.post(&format!("{path}/deliveries/msg_000000000000000000000000/replay"), &json!({})),
                ];
                for (index, answer) in asked.iter().enumerate() {
                    let what = format!("{who}, {}, request {index}", &other[..other.len().min(40)]);
                    refused(answer, 404, "there is no such meeting", &what);
                }
            }
        }
        for delivery in ["msg_000000000000000000000000", "%00", "..%2F..", &long] {
            let path = format!("/api/v1/meetings/{id}/deliveries/{delivery}/replay");
            refused(&ada.post(&path, &json!({})), 404, "no such delivery", "a delivery that is none");
        }
        let own = ada.get(&format!("/api/v1/meetings/{id}"));
        assert_eq!((own.header("etag"), &own.json()["title"]), ("\"1\"", &json!("Standup")));
    });
}

#[test]
fn tokens_that_are_no_proof_open_nothing() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    let rooms = Api::with_key(&server, &["rooms", "meetings:write"], &[]);
    let call = rooms.book(&json!({}));
    let room = call["room"].as_str().unwrap();
    #[allow(clippy::disallowed_methods, reason = "tokens are made for the server's clock")]
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let signed = json!({"alg": "HS256", "typ": "JWT"});
    let claims = |exp: Value| json!({"room": room, "exp": exp, "host": true});
    let good = jwt(&signed, &claims(json!(soon)));
    let (head, tag) = good.rsplit_once('.').unwrap();
    let unsigned = |alg: &str| {
        let token = jwt(&json!({"alg": alg, "typ": "JWT"}), &claims(json!(soon)));
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    let mut forged = vec![
        unsigned("none"),
        unsigned("None"),
        unsigned("HS256"),
        jwt(&json!({"alg": "none", "typ": "JWT"}), &claims(json!(soon))),
        jwt(&json!({"alg": "RS256", "typ": "JWT"}), &claims(json!(soon))),
        jwt(&json!({"typ": "JWT"}), &claims(json!(soon))),
        format!("{head}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{head}.{tag}.{tag}"),
        head.to_owned(),
        jwt(&signed, &json!({"room": room})),
        jwt(&signed, &json!({"room": "elsewhere", "exp": soon})),
        jwt(&signed, &json!(["exp", soon])),
    ];
    for exp in [json!(soon.to_string()), json!(""), json!(null), json!(-1), json!(0), json!([soon])] {
        forged.push(jwt(&signed, &claims(exp)));
    }
    for token in &forged {
        let join = json!({"type": "join", "room": room, "name": "Eve", "token": token});
        let mut ws = Ws::connect(server.addr);
        ws.send(&join);
        assert_eq!(ws.next()["code"], "unauthorized", "{token}");
        assert_eq!(ws.closed(), 4401);
        refused(&post(server.addr, "/api/v1/sessions", None, &join.to_string()), 401, "token", token);
        let bearer = Api::with_bearer(server.addr, token);
        let path = format!("/api/v1/meetings/{}", call["meeting"].as_str().unwrap());
        refused(&bearer.get(&path), 401, "neither an API key nor a host token", token);
        refused(&bearer.post(&format!("/api/v1/rooms/{room}/end"), &json!({})), 401, "API key", token);
        assert_eq!(bearer.get(&format!("/api/v1/rooms/{room}")).json(), json!({"room": room}), "{token}");
    }
    let mut ws = Ws::connect(server.addr);
    ws.send(&json!({"type": "join", "room": room, "name": "Ada", "token": good}));
    assert_eq!(ws.next()["type"], "welcome", "and one that is good does");
}
