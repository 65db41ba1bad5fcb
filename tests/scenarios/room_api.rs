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
        ("/api/v1/rooms/{room}", &["get", "patch", "delete"]),
        ("/api/v1/rooms/{room}/actions", &["post"]),
        ("/api/v1/rooms/{room}/peers/{peer}", &["delete"]),
        ("/api/v1/rooms/{room}/peers/{peer}/mute", &["post"]),
        ("/api/v1/rooms/{room}/captions", &["post"]),
        ("/api/v1/rooms/{room}/messages", &["post"]),
        ("/api/v1/rooms/{room}/participants", &["get"]),
        ("/api/v1/rooms/{room}/end", &["post"]),
        ("/api/v1/rooms/{room}/tokens", &["post"]),
        ("/api/v1/ice-servers", &["get"]),
        ("/api/v1/media-path", &["get"]),
        ("/api/v1/causes", &["post"]),
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

#[test]
fn a_key_and_a_host_token_have_every_power_of_a_host() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["rooms"], &[]);
    let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    let host = Api::with_bearer(server.addr, welcome["hostToken"].as_str().unwrap());
    let room = "/api/v1/rooms/standup";
    let status = |api: &Api, method: &str, path: &str, body: Option<&Value>| {
        let body = body.map(Value::to_string);
        api.ask(method, &format!("{room}{path}"), &[], body.as_deref()).status
    };
    let changed =
        api.ask("PATCH", room, &[], Some(r#"{"locked":true,"lobby":true,"password":"open sesame"}"#));
    assert_eq!(changed.status, 200, "{}", changed.body);
    let changed = changed.json();
    let shown = |changed: &Value| {
        [&changed["locked"], &changed["lobby"], &changed["password"]].map(|is| is == &json!(true))
    };
    assert_eq!(shown(&changed), [true, true, true]);
    let changed = host.ask("PATCH", room, &[], Some(r#"{"locked":false,"password":null}"#)).json();
    assert_eq!(shown(&changed), [false, true, false]);
    for bad in [r#"{"lock":true}"#, r#"{"locked":"yes"}"#, r#"{"password":7}"#, "[]"] {
        assert_eq!(api.ask("PATCH", room, &[], Some(bad)).status, 400, "{bad}");
    }

    // Who waits is admitted, or not.
    let mut newcomer = |name: &str| {
        let mut ws = Ws::connect(server.addr);
        ws.send(&json!({"type": "join", "room": "standup", "name": name}));
        assert_eq!(ws.next()["state"], "waiting");
        let peer = ada.until("lobby")["peer"].clone();
        (ws, peer)
    };
    let (mut bob, bob_id) = newcomer("Bob");
    let (mut eve, eve_id) = newcomer("Eve");
    assert_eq!(status(&api, "POST", "/actions", Some(&json!({"action": "admit", "peer": bob_id}))), 204);
    assert_eq!(bob.until("welcome")["state"], "joined");
    assert_eq!(status(&host, "POST", "/actions", Some(&json!({"action": "deny", "peer": eve_id}))), 204);
    assert_eq!(eve.until("lobby")["state"], "denied");
    assert_eq!(api.get(&format!("{room}/peers")).json()["peers"].as_array().unwrap().len(), 2);
    // Nothing is measured of media that does not pass the server.
    let measured = host.get(&format!("{room}/stats")).json();
    let expected = |id: &Value| json!({"peer": id, "sent": [], "received": []});
    assert_eq!(measured["peers"].as_array().unwrap().len(), 2);
    for id in [&welcome["self"]["id"], &bob_id] {
        assert!(measured["peers"].as_array().unwrap().contains(&expected(id)), "{measured}");
    }

    let bob_id = bob_id.as_str().unwrap();
    assert_eq!(status(&api, "POST", &format!("/peers/{bob_id}/mute"), None), 204);
    assert_eq!(bob.until("muted")["by"], bob_id);
    // A host may be removed as well, by those who are above it.
    let ada_id = welcome["self"]["id"].as_str().unwrap();
    for (action, expected) in [
        (json!({"action": "promote", "peer": bob_id}), 204),
        (json!({"action": "promote", "peer": bob_id, "value": "king"}), 400),
        (json!({"action": "admit", "peer": bob_id}), 409),
        (json!({"action": "kick", "peer": "nobody"}), 404),
        (json!({"action": "dance"}), 400),
        (json!({"action": "lock", "room": "other"}), 400),
    ] {
        assert_eq!(status(&api, "POST", "/actions", Some(&action)), expected, "{action}");
    }
    assert_eq!(status(&api, "DELETE", "/peers/nobody", None), 404);
    assert_eq!(status(&api, "DELETE", &format!("/peers/{ada_id}"), None), 204);
    assert_eq!(bob.until("peer-left")["reason"], "kicked");

    // Neither without credentials, nor with those of another room or for something else.
    let stranger = Api::with_key(&server, &["meetings:write"], &[]);
    let (_carol, elsewhere) = Ws::join(server.addr, "elsewhere", "Carol");
    let other = Api::with_bearer(server.addr, elsewhere["hostToken"].as_str().unwrap());
    for (api, expected) in [(&Api::anonymous(server.addr), 401), (&stranger, 403), (&other, 403)] {
        assert_eq!(status(api, "PATCH", "", Some(&json!({"locked": true}))), expected);
        assert_eq!(status(api, "POST", "/actions", Some(&json!({"action": "lock"}))), expected);
        assert_eq!(status(api, "POST", &format!("/peers/{bob_id}/mute"), None), expected);
        assert_eq!(status(api, "DELETE", &format!("/peers/{bob_id}"), None), expected);
        assert_eq!(status(api, "GET", "/stats", None), expected);
        assert_eq!(status(api, "DELETE", "", None), expected);
    }
    assert_eq!(status(&api, "DELETE", "", None), 204);
    assert_eq!(bob.until("room-ended")["reason"], "host-ended");
    assert_eq!(status(&api, "POST", "/actions", Some(&json!({"action": "lock"}))), 404);
}

#[test]
fn a_removed_token_is_barred_by_its_jti() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["rooms"], &[]);
    let (_ada, _) = Ws::join(server.addr, "standup", "Ada");
    let mint = |jti: &str| {
        api.post("/api/v1/rooms/standup/tokens", &json!({"name": "Bob", "role": "participant", "jti": jti}))
            .json()["token"]
            .clone()
    };
    let (_bob, welcome) = enter(&server, "standup", &mint("seat-1"));
    assert_eq!(welcome["self"]["role"], "participant", "{welcome}");
    let removed = format!("/api/v1/rooms/standup/peers/{}", welcome["self"]["id"].as_str().unwrap());
    assert_eq!(api.ask("DELETE", &removed, &[], None).status, 204);
    assert_eq!(enter(&server, "standup", &mint("seat-1")).1["type"], "error");
    assert_eq!(enter(&server, "standup", &mint("seat-2")).1["state"], "joined");
    for wrong in [json!({"jti": ""}), json!({"jti": "a\nb"}), json!({"sub": "\u{7}"})] {
        assert_eq!(api.post("/api/v1/rooms/standup/tokens", &wrong).status, 400, "{wrong}");
    }
}
