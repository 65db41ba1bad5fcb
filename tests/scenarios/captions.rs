//! Captions and messages that other programs send to a room.
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

const CAPTIONS: &str = "/api/v1/rooms/standup/captions";
const MESSAGES: &str = "/api/v1/rooms/standup/messages";

fn line(text: &str, is_final: bool) -> Value {
    json!({"source": "Interpreter", "text": text, "final": is_final})
}

#[test]
fn captions_reach_everybody_in_the_room_as_they_were_sent() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let (mut bob, _) = Ws::join(server.addr, "standup", "Bob");
    let key = Api::with_key(&server, &["captions:write"], &[]);
    for (text, is_final) in [("Good", false), ("<b>Good</b> & well", true)] {
        assert_eq!(key.post(CAPTIONS, &line(text, is_final)).status, 204);
        for ws in [&mut ada, &mut bob] {
            let event = ws.until("caption");
            assert_eq!((&event["source"], &event["text"]), (&json!("Interpreter"), &json!(text)));
            assert_eq!(event["final"], is_final);
            assert!(event["id"].is_u64() && event["at"].is_string(), "{event}");
        }
    }
}

#[test]
fn captions_need_their_scope_or_the_host_token_of_the_room() {
    let server = Visavis::start(&[]);
    let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    let (_eve, elsewhere) = Ws::join(server.addr, "elsewhere", "Eve");
    let key = |scope: &str, arguments: &[&str]| Api::with_key(&server, &[scope], arguments);
    let host = |welcome: &Value| Api::with_bearer(server.addr, welcome["hostToken"].as_str().unwrap());
    for (who, api, expected) in [
        ("a key for captions", key("captions:write", &[]), 204),
        ("a key for all rooms", key("rooms", &[]), 204),
        ("an administrator", key("admin", &[]), 204),
        ("the host", host(&welcome), 204),
        ("another host", host(&elsewhere), 403),
        ("a key for meetings", key("meetings:write", &[]), 403),
        (
            "a customer's key, whose meeting this is not",
            key("captions:write", &["--customer", "school"]),
            403,
        ),
        ("nobody", Api::anonymous(server.addr), 401),
    ] {
        assert_eq!(api.post(CAPTIONS, &line("Good morning", true)).status, expected, "{who}");
    }
    let captions = ada.settle().into_iter().filter(|event| event["type"] == "caption");
    assert_eq!(captions.count(), 4);

    // A customer's key sends captions to the customer's own meetings, and gives no other power.
    let writer = Api::with_key(&server, &["captions:write", "meetings:write"], &["--customer", "school"]);
    let meeting = writer.book(&json!({"title": "Lesson"}));
    let mut teacher = Ws::connect(server.addr);
    let token = tests::api::host_token(&meeting);
    teacher.send(&json!({"type": "join", "room": meeting["code"], "name": "Teacher", "token": token}));
    teacher.until("welcome");
    let captions = format!("/api/v1/rooms/{}/captions", meeting["code"].as_str().unwrap());
    let only_captions = Api::with_key(&server, &["captions:write"], &["--customer", "school"]);
    assert_eq!(only_captions.post(&captions, &line("Good morning", true)).status, 204);
    teacher.until("caption");
    let other = Api::with_key(&server, &["captions:write"], &["--customer", "other"]);
    assert_eq!(other.post(&captions, &line("Good morning", true)).status, 403);
    assert_eq!(key("captions:write", &[]).post(MESSAGES, &json!({"name": "A", "text": "b"})).status, 403);
}

#[test]
fn what_is_no_caption_is_refused_and_nobody_is_shown_it() {
    let server = Visavis::start(&[]);
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    let key = Api::with_key(&server, &["captions:write"], &[]);
    let long = "a".repeat(1_001);
    for bad in [
        json!({"source": "Ada", "text": long, "final": true}),
        json!({"source": "Ada", "text": " ", "final": true}),
        json!({"source": "", "text": "a", "final": true}),
        json!({"source": "a\nb", "text": "a", "final": true}),
        json!({"source": "Ada", "text": "a"}),
        json!({"source": "Ada", "text": "a", "final": "yes"}),
        json!({"source": "Ada", "text": "a", "final": true, "lang": "en"}),
        json!([]),
    ] {
        assert_eq!(key.post(CAPTIONS, &bad).status, 400, "{bad}");
    }
    assert_eq!(key.post("/api/v1/rooms/nowhere/captions", &line("a", true)).status, 404);
    assert_eq!(key.post(CAPTIONS, &line(&"é".repeat(1_000), true)).status, 204);
    let shown: Vec<_> = ada.settle().into_iter().filter(|event| event["type"] == "caption").collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
}

#[test]
fn a_message_to_everybody_is_chat_with_the_name_of_its_sender() {
    let server = Visavis::start(&[]);
    let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    let host = Api::with_bearer(server.addr, welcome["hostToken"].as_str().unwrap());
    let message = json!({"name": "Reception", "text": "The lift works again"});
    assert_eq!(host.post(MESSAGES, &message).status, 204);
    let shown = |chat: &Value| [chat["name"].clone(), chat["text"].clone(), chat["id"].clone()];
    let first = shown(&ada.until("chat"));
    assert_eq!(first[..2], [json!("Reception"), json!("The lift works again")]);
    let (mut bob, _) = Ws::join(server.addr, "standup", "Bob");
    assert_eq!(shown(&bob.until("chat")), first);
    for bad in [json!({"text": "a"}), json!({"name": "A", "text": ""}), json!({"name": "", "text": "a"})] {
        assert_eq!(host.post(MESSAGES, &bad).status, 400, "{bad}");
    }
    assert_eq!(Api::anonymous(server.addr).post(MESSAGES, &message).status, 401);
}
