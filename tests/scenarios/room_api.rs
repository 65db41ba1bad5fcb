//! Operations of applications on rooms, with or without meetings: create, find, read, admit, end.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use tests::Visavis;
use tests::api::Api;
use tests::client::Ws;

/// Joins with a token; returns the welcome or the error.
fn enter(server: &Visavis, room: &str, token: &Value) -> (Ws, Value) {
    let mut ws = Ws::connect(server.addr);
    ws.send(&json!({"type": "join", "room": room, "name": "Somebody", "token": token}));
    let answer = ws.next();
    (ws, answer)
}

#[test]
fn applications_look_into_rooms_let_people_in_and_end_them() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["rooms"], &[]);
    let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    ada.send(&json!({"type": "host", "action": "lock", "seq": 1}));
    ada.until("ack");
    let shown = api.get("/api/v1/rooms/standup").json();
    assert_eq!((&shown["peers"], &shown["locked"]), (&json!(1), &json!(true)));
    let people = api.get("/api/v1/rooms/standup/participants").json();
    assert_eq!(people["participants"][0]["id"], welcome["self"]["id"]);
    let minted = api.post("/api/v1/rooms/standup/tokens", &json!({"name": "Bob", "ttlSeconds": 60}));
    assert_eq!(minted.status, 201, "{}", minted.body);
    let (_bob, welcome) = enter(&server, "standup", &minted.json()["token"]);
    assert_eq!((&welcome["state"], &welcome["self"]["name"]), (&json!("joined"), &json!("Bob")));
    assert_eq!(enter(&server, "elsewhere", &minted.json()["token"]).1["code"], "unauthorized");
    for bad in [json!({"ttlSeconds": 0}), json!({"name": "a\nb"}), json!({"role": "king"})] {
        assert_eq!(api.post("/api/v1/rooms/standup/tokens", &bad).status, 400, "{bad}");
    }
    // A typing error is reported.
    for path in ["/api/v1/rooms", "/api/v1/rooms/standup/tokens"] {
        let answer = api.post(path, &json!({"toplogy": "sfu"}));
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("`toplogy`"), "{path}: {}", answer.body);
    }
    let stranger = Api::with_key(&server, &["meetings:write"], &[]);
    for path in ["/api/v1/rooms/standup", "/api/v1/rooms/standup/participants"] {
        assert_eq!(stranger.get(path).status, 403, "{path}");
    }
    assert_eq!(api.post("/api/v1/rooms/standup/end", &json!({})).status, 204);
    assert_eq!(ada.until("room-ended")["reason"], "host-ended");
    assert_eq!(api.post("/api/v1/rooms/standup/end", &json!({})).status, 404);
    assert_eq!(api.get("/api/v1/rooms/standup/participants").status, 404);
}

#[test]
fn the_rooms_of_a_server_are_listed_page_by_page_each_once() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["rooms"], &[]);
    assert_eq!(api.get("/api/v1/rooms").json(), json!({"rooms": []}));
    let names = ["Kitchen", "a", "a-b", "attic", "b", "cellar", "z_9"];
    let mut people = Vec::new();
    for name in names.iter().rev() {
        people.push(Ws::join(server.addr, name, "Ada"));
    }
    people.push(Ws::join(server.addr, "attic", "Bob"));
    let (mut seen, mut peers, mut path) = (Vec::new(), 0, "/api/v1/rooms?limit=3".to_owned());
    let mut pages = 0;
    loop {
        let page = api.get(&path).json();
        for room in page["rooms"].as_array().unwrap() {
            seen.push(room["room"].as_str().unwrap().to_owned());
            peers += room["peers"].as_u64().unwrap();
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/rooms?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!((pages, peers), (3, 8));
    assert_eq!(seen, names, "in the order of their names, whichever part of the server has them");
    assert_eq!(api.post("/api/v1/rooms/a-b/end", &json!({})).status, 204);
    let left = api.get("/api/v1/rooms?after=a&limit=1").json();
    assert_eq!((&left["rooms"][0]["room"], &left["next"]), (&json!("attic"), &json!("attic")));
    for bad in ["limit=0", "limit=101", "limit=x", "after=..%2F..", "after=", "limit=1&limit=2"] {
        assert_eq!(api.get(&format!("/api/v1/rooms?{bad}")).status, 400, "{bad}");
    }
    let stranger = Api::with_key(&server, &["meetings:write"], &[]);
    assert_eq!(stranger.get("/api/v1/rooms").status, 403);
    assert_eq!(Api::anonymous(server.addr).get("/api/v1/rooms").status, 401);
}

#[test]
fn a_key_makes_rooms_where_strangers_may_not() {
    let server = Visavis::start(&["--anonymous-rooms", "off"]);
    let api = Api::with_key(&server, &["rooms"], &[]);
    assert_eq!(Api::anonymous(server.addr).post("/api/v1/rooms", &json!({})).status, 401);
    assert_eq!(Api::with_bearer(server.addr, "vsk_AAAA").post("/api/v1/rooms", &json!({})).status, 401);
    let stranger = Api::with_key(&server, &["meetings:write"], &[]);
    assert_eq!(stranger.post("/api/v1/rooms", &json!({})).status, 403);
    let made = api.post("/api/v1/rooms", &json!({"topology": "sfu"}));
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    let room = made["room"].as_str().unwrap();
    assert_eq!(api.get("/api/v1/rooms").json()["rooms"][0]["room"], room);
    assert_eq!(enter(&server, room, &made["hostToken"]).1["room"]["topology"], "sfu");
    for bad in
        [json!([]), json!(["sfu"]), json!({"topology": "star"}), json!({"topology": null}), json!("sfu")]
    {
        assert_eq!(api.post("/api/v1/rooms", &bad).status, 400, "{bad}");
    }
}

#[test]
fn what_the_interface_offers_is_described() {
    let described = |arguments: &[&str]| {
        let server = Visavis::start(arguments);
        Api::anonymous(server.addr).get("/api/v1/openapi.json").json()
    };
    let document = described(&[]);
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in [
        ("/api/v1/meetings", &["get", "post"][..]),
        ("/api/v1/rooms", &["get", "post"]),
        ("/api/v1/rooms/{room}", &["get"]),
        ("/api/v1/rooms/{room}/participants", &["get"]),
        ("/api/v1/rooms/{room}/end", &["post"]),
        ("/api/v1/rooms/{room}/tokens", &["post"]),
        ("/api/v1/ice-servers", &["get"]),
        ("/api/v1/recordings", &["get"]),
        ("/api/v1/recordings/{recording}", &["get", "delete"]),
    ] {
        for method in methods {
            let operation = &document["paths"][path][method];
            assert!(operation["responses"].is_object(), "{method} {path}");
        }
    }
    let without = described(&["--no-recording"]);
    assert_eq!(without["paths"]["/api/v1/recordings"], Value::Null, "what is not served is not described");
}
