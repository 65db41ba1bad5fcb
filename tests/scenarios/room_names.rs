//! Room names may contain any letters, by the same rule wherever a name can appear.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::sync::Arc;

use serde_json::json;
use tests::api::Api;
use tests::client::{Ws, credentials, join, post};
use tests::socketio::Sio;
use tests::{Visavis, get, request};

const PUBLISH: &str = include_str!("offers/chromium-156-publish.sdp");
const PLAY: &str = include_str!("offers/chromium-156-play.sdp");
/// `кухня`, encoded for URLs.
const ENCODED: &str = "%D0%BA%D1%83%D1%85%D0%BD%D1%8F";
const ID: &str = "n-a7chgcjqm7i65veeoju4bcprqwm3wiwzis4z3pr4ameiffxvykra";

fn offer(server: &Visavis, path: &str, sdp: &str) -> tests::Answer {
    request(server.addr, "POST", path, &[("content-type", "application/sdp")], Some(sdp.as_bytes()))
}

#[test]
fn a_name_means_the_same_room_on_every_way_in() {
    let server = Visavis::start(&[]);
    let auto = |room: &str, name: &str| json!({"type": "join", "room": room, "name": name});
    let mut ada = Ws::connect(server.addr);
    ada.send(&auto(" Кухня", "Ada"));
    let welcome = ada.until("welcome");
    assert_eq!(welcome["room"]["id"], ID);
    assert_eq!(welcome["room"]["name"], "Кухня", "as first written");

    let mut bob = Sio::connect(server.addr);
    let welcomed = bob.ask(&auto("КУХНЯ", "Bob"));
    assert_eq!((&welcomed["room"]["id"], &welcomed["room"]["name"]), (&json!(ID), &json!("Кухня")));
    let cy = post(server.addr, "/api/v1/sessions", None, &auto("кухня", "Cy").to_string());
    assert_eq!((cy.status, cy.json()["room"]["id"].as_str()), (201, Some(ID)));

    for (path, sdp) in [("/whip/", PUBLISH), ("/whep/", PLAY)] {
        let answer = offer(&server, &format!("{path}{ENCODED}?name=Box"), sdp);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let location = answer.header("location");
        assert!(location.is_ascii() && location.starts_with(&format!("{path}{ID}/")), "{location}");
        assert_eq!(request(server.addr, "DELETE", location, &[], None).status, 200);
    }

    let host = Api::with_bearer(server.addr, welcome["hostToken"].as_str().unwrap());
    for name in [ENCODED, "%D0%9A%D0%A3%D0%A5%D0%9D%D0%AF", ID] {
        let shown = host.get(&format!("/api/v1/rooms/{name}")).json();
        assert_eq!((shown["room"].as_str(), shown["peers"].as_u64()), (Some(ID), Some(3)), "{name}");
    }
    assert_eq!(host.get(&format!("/api/v1/recordings?room={ENCODED}")).status, 200);
}

#[test]
fn a_join_token_may_say_the_name_or_the_id() {
    let server = Visavis::start(&["--anonymous-rooms", "off"]);
    let key = Api::with_key(&server, &["rooms"], &[]);
    for room in [ENCODED, ID] {
        let made = key.post(&format!("/api/v1/rooms/{room}/tokens"), &json!({}));
        assert_eq!(made.status, 201, "{}", made.body);
        let token = &made.json()["token"];
        let mut ws = Ws::connect(server.addr);
        ws.send(&json!({"type": "join", "room": "кухня", "name": "Ada", "token": token}));
        assert_eq!(ws.next()["room"]["id"], ID);
    }
}

#[test]
fn the_name_survives_a_restart() {
    let mut server = Visavis::start(&[]);
    let (ada, welcome) = Ws::join(server.addr, "team call", "Ada");
    let id = welcome["room"]["id"].as_str().unwrap().to_owned();
    let kept = credentials(&welcome);
    server.kill();
    let folder = server.folder();
    // Also if nothing of the room was stored except its member's secret.
    for forgotten in [false, true] {
        if forgotten {
            std::fs::remove_file(folder.path().join("visavis-data/rooms.jsonl")).unwrap();
        }
        let mut again = Visavis::start_in(Arc::clone(&folder), &[]);
        let (_, back) = Ws::resume(again.addr, &kept, ada.last_id);
        assert_eq!((&back["room"]["id"], &back["room"]["name"]), (&json!(id), &json!("team call")));
        again.kill();
    }
}

#[test]
fn what_is_no_name_is_refused_everywhere_and_said_so() {
    let server = Visavis::start(&[]);
    for bad in ["", " ", "..", "a/b", "a?b", "100%", "\u{202e}abc", "\u{3164}", ID, &"я".repeat(65)] {
        let mut ws = Ws::connect(server.addr);
        ws.send(&join(bad, "Ada"));
        let refused = ws.next();
        assert_eq!(refused["code"], "bad-request", "{bad:?}");
        assert!(refused["message"].as_str().unwrap().contains("a room's name"), "{refused}");
    }
    // Cut off within a character, and an invalid escape.
    for bad in ["%E0%A4%A", "%E0%A4", "%zz", "a%2Fb", "%2E%2E"] {
        for path in [format!("/api/v1/rooms/{bad}"), format!("/whip/{bad}"), format!("/whep/{bad}")] {
            let answer = if path.starts_with("/api") {
                get(server.addr, &path)
            } else {
                offer(&server, &path, PUBLISH)
            };
            assert_eq!(answer.status, 400, "{path} {}", answer.body);
            assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
            assert_eq!(answer.json()["code"], "bad-request", "{path}");
        }
    }
    assert_eq!(
        offer(&server, &format!("/whip/{ID}"), PUBLISH).status,
        400,
        "a name in that shape makes no room"
    );
}

#[test]
fn whip_and_whep_are_served_with_a_slash_at_the_end() {
    let server = Visavis::start(&[]);
    for (path, sdp) in [("/whip/stage/", PUBLISH), ("/whep/stage/?name=Box", PLAY)] {
        let answer = offer(&server, path, sdp);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let location = answer.header("location");
        assert!(location.starts_with(&path[..12]) && !location.contains("//"), "{location}");
        assert_eq!(request(server.addr, "OPTIONS", path, &[], None).status, 200);
        assert_eq!(request(server.addr, "DELETE", location, &[], None).status, 200);
    }
}

#[test]
fn a_mistyped_code_makes_no_room() {
    let server = Visavis::start(&[]);
    let code = Api::anonymous(server.addr).book(&json!({}))["code"].as_str().unwrap().to_owned();
    assert!(code.bytes().any(|byte| byte.is_ascii_digit()), "{code}");
    // Another last letter, and one without a digit, as in codes of earlier versions.
    let last = if code.ends_with('x') { 'y' } else { 'x' };
    for wrong in [format!("{}{last}", &code[..10]), "cdf-hjk-mnp".to_owned(), "CDF-HJK-MNP".to_owned()] {
        let mut ws = Ws::connect(server.addr);
        ws.send(&join(&wrong, "Ada"));
        assert_eq!(ws.next()["code"], "not-found", "{wrong}");
        assert_eq!(offer(&server, &format!("/whip/{wrong}"), PUBLISH).status, 404, "{wrong}");
    }
    // However it was written down.
    for written in [code.to_uppercase(), code.replace('-', ""), code.replace('-', " ")] {
        let mut ws = Ws::connect(server.addr);
        ws.send(&json!({"type": "join", "room": written, "name": "Ada"}));
        assert_eq!(ws.next()["type"], "welcome", "{written}");
    }
    // Names that merely resemble codes are names.
    for name in ["cdfhjkmnp", "abc-def-ghi", "k7m2xr9dn", "dev-42-abc"] {
        let (_ws, welcome) = Ws::join(server.addr, name, "Ada");
        assert_eq!(welcome["room"]["id"], name);
    }
}
