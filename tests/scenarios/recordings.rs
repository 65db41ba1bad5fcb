//! Recording a room over HTTP: who may start and stop it, and which events the room receives.
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

const START: &str = "/api/v1/recordings";
const STOP: &str = "/api/v1/recordings/stop";

/// A room that moves to the media server once it is recorded, with its host in it.
fn join(server: &Visavis, room: &str) -> (Ws, Api) {
    let mut host = Ws::connect(server.addr);
    host.send(&json!({"type": "join", "room": room, "name": "Ada", "topology": "auto"}));
    let welcome = host.until("welcome");
    let token = Api::with_bearer(server.addr, welcome["hostToken"].as_str().unwrap());
    (host, token)
}

/// The recording events of the room, up to a state.
fn heard(ws: &mut Ws, last: &str) -> Vec<String> {
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != last) {
        states.push(ws.until("recording")["state"].as_str().unwrap().to_owned());
    }
    states
}

fn asked(who: &Api, path: &str, room: &str) -> (u16, Value) {
    let answer = who.post(path, &json!({ "room": room }));
    (answer.status, answer.json())
}

#[test]
fn a_key_or_a_host_token_begins_and_ends_a_recording() {
    let server = Visavis::start(&[]);
    let (mut host, token) = join(&server, "standup");
    let rooms = Api::with_key(&server, &["rooms"], &[]);
    let recordings = Api::with_key(&server, &["recordings"], &[]);
    for (starts, stops) in [(&token, &token), (&rooms, &recordings), (&recordings, &rooms)] {
        let (status, body) = asked(starts, START, "standup");
        assert_eq!((status, body), (202, json!({"room": "standup", "state": "starting"})));
        assert_eq!(heard(&mut host, "active"), ["starting", "active"]);
        let again = asked(starts, START, "standup");
        assert_eq!((again.0, &again.1["code"]), (409, &json!("invalid-state")));
        let (mut late, _) = Ws::join(server.addr, "standup", "Bob");
        late.send(&json!({"type": "leave"}));
        let (status, body) = asked(stops, STOP, "standup");
        assert_eq!((status, body), (202, json!({"room": "standup", "state": "stopping"})));
        assert_eq!(heard(&mut host, "stopped"), ["stopped"]);
    }
}

#[test]
fn nobody_else_does() {
    let server = Visavis::start(&[]);
    let (mut host, token) = join(&server, "standup");
    let (_other, other_token) = join(&server, "elsewhere");
    let meetings = Api::with_key(&server, &["meetings:write"], &[]);
    let keyed = Api::with_key(&server, &["rooms"], &[]);
    let anonymous = Api::anonymous(server.addr);
    let nonsense = Api::with_bearer(server.addr, "nonsense");
    for path in [START, STOP] {
        for (who, room, status, code) in [
            (&anonymous, "standup", 401, "unauthorized"),
            (&nonsense, "standup", 401, "unauthorized"),
            (&meetings, "standup", 403, "forbidden"),
            (&other_token, "standup", 403, "forbidden"),
            (&keyed, "nowhere", 404, "not-found"),
            (&keyed, "a/b", 400, "bad-request"),
        ] {
            let (answered, body) = asked(who, path, room);
            assert_eq!((answered, body["code"].as_str().unwrap()), (status, code), "{path} {room}");
        }
        assert_eq!(keyed.post(path, &json!([])).status, 400);
        let form = keyed.ask("POST", path, &[("content-type", "text/plain")], None);
        assert_eq!(form.status, 415);
    }
    assert_eq!(asked(&token, STOP, "standup").0, 409, "there is nothing to stop");
    let quiet = host.settle();
    assert!(quiet.iter().all(|event| event["type"] != "recording"), "{quiet:?}");
}

#[test]
fn a_token_of_an_earlier_life_of_a_room_records_nothing() {
    let server = Visavis::start(&[]);
    let (mut host, token) = join(&server, "standup");
    host.send(&json!({"type": "host", "action": "end"}));
    host.until("room-ended");
    assert_eq!(asked(&token, START, "standup").0, 404);
}

#[test]
fn a_room_that_is_always_peer_to_peer_and_a_server_that_does_not_record_say_so() {
    let server = Visavis::start(&[]);
    let (_host, _) = Ws::join(server.addr, "mesh", "Ada");
    let keyed = Api::with_key(&server, &["recordings"], &[]);
    assert_eq!(asked(&keyed, START, "mesh").0, 409);
    let server = Visavis::start(&["--no-recording"]);
    let (_host, token) = join(&server, "standup");
    assert_eq!(token.post(START, &json!({"room": "standup"})).status, 404, "there is no such path");
}
