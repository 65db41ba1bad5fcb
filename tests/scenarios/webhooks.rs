//! Webhooks: signed, in order, retried until accepted, and never sent to forbidden addresses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use serde_json::{Value, json};
use tests::Visavis;
use tests::api::{Api, host_token, until, wanted};
use tests::client::Ws;
use tests::hooks::Receptionist;

fn path(meeting: &Value) -> String {
    format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap())
}

#[test]
fn a_meeting_is_told_in_order_and_signed_and_a_receiver_that_fails_gets_everything_once_it_is_back() {
    let server = Visavis::start(&["--webhook-allow-private"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let receiver = Receptionist::open();
    let meeting = api.book(&json!({"webhookUrl": receiver.url()}));
    let secret = meeting["webhookSecret"].as_str().unwrap();
    let first = receiver.next();
    assert_eq!(first.kind(), "meeting.created");
    assert!(first.is_signed_with(secret));
    assert_eq!(first.json()["data"]["meeting"], meeting["meeting"]);
    let id = first.headers["webhook-id"].clone();
    first.answer("500 Internal Server Error");

    // The receiver is down while the call continues; messages wait in order.
    let mut ada = Ws::connect(server.addr);
    let token = host_token(&meeting);
    ada.send(&json!({"type": "join", "room": meeting["code"], "name": "Ada", "token": token}));
    ada.until("welcome");
    let again = receiver.next();
    assert_eq!((again.kind(), &again.headers["webhook-id"]), ("meeting.created".to_owned(), &id));
    // This receiver hangs: no response until the sender gives up.
    ada.send(&json!({"type": "chat", "text": "nobody waits for webhooks", "seq": 1}));
    ada.until("chat");
    ada.send(&json!({"type": "host", "action": "end", "seq": 2}));
    ada.until("room-ended");
    again.answer("302 Found\r\nlocation: http://127.0.0.1:1/");
    let mut kinds = Vec::new();
    let mut last = Value::Null;
    while kinds.last().is_none_or(|kind| kind != "meeting.ended") {
        let hook = receiver.next();
        assert!(hook.is_signed_with(secret));
        kinds.push(hook.kind());
        last = hook.json();
        hook.answer("204 No Content");
    }
    assert_eq!(kinds, ["meeting.created", "meeting.started", "peer.joined", "peer.left", "meeting.ended"]);
    assert_eq!(last["data"]["reason"], "host-ended");

    // They are listed, and sent again on request.
    let mut listed = Vec::new();
    until("the notes of it", || {
        let known = api.get(&format!("{}/deliveries", path(&meeting))).json();
        known["deliveries"].as_array().unwrap().clone_into(&mut listed);
        listed.iter().all(|one| !one["deliveredAt"].is_null())
    });
    assert_eq!(
        (listed.len(), &listed[4]["attempts"], &listed[0]["type"]),
        (5, &json!(3), &json!("meeting.ended"))
    );
    let one = listed[2]["delivery"].as_str().unwrap();
    let replayed = api.post(&format!("{}/deliveries/{one}/replay", path(&meeting)), &json!({}));
    assert_eq!(replayed.status, 202);
    let hook = receiver.next();
    assert_eq!((hook.kind(), &*hook.headers["webhook-id"]), ("peer.joined".to_owned(), one));
    hook.answer("200 OK");
}

#[test]
fn a_booking_brings_its_own_secret_and_whoever_fails_is_in_the_log() {
    let server = Visavis::start(&["--webhook-allow-private"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let receiver = Receptionist::open();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let meeting = api.book(&json!({"webhookUrl": receiver.url(), "webhookSecret": secret}));
    assert_eq!(meeting["webhookSecret"], secret);
    let first = receiver.next();
    assert!(first.is_signed_with(secret), "the first one as well");
    first.answer("500 Internal Server Error");
    server.logged("a receiver of webhooks fails: it is tried again");
    receiver.next().answer("204 No Content");
    server.logged("a receiver of webhooks is back");
    // The same receiver with another secret: both are valid for a while.
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    api.book(&json!({"webhookUrl": receiver.url(), "webhookSecret": other}));
    let hook = receiver.next();
    assert!(hook.is_signed_with(other) && hook.is_signed_with(secret));
    hook.answer("410 Gone");
    server.logged(
        "a receiver of webhooks wants nothing any more: it is sent nothing until its URL is named again",
    );
}

#[test]
fn while_secrets_are_changed_both_are_good_and_gone_means_gone() {
    let server = Visavis::start(&["--webhook-allow-private"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let receiver = Receptionist::open();
    let meeting = api.book(&json!({"webhookUrl": receiver.url()}));
    receiver.next().answer("200 OK");
    let rotated = api.post(&format!("{}/webhook-secret", path(&meeting)), &json!({})).json();
    let change = |title: &str| {
        let body = json!({"title": title}).to_string();
        assert_eq!(api.ask("PATCH", &path(&meeting), &[("if-match", "*")], Some(&body)).status, 200);
    };
    change("Another");
    let hook = receiver.next();
    assert!(hook.is_signed_with(rotated["webhookSecret"].as_str().unwrap()));
    assert!(hook.is_signed_with(meeting["webhookSecret"].as_str().unwrap()), "the one of before as well");
    hook.answer("410 Gone");
    // Later messages are not sent any more, nor are those of a second meeting.
    change("A third");
    let list = || api.get(&format!("{}/deliveries", path(&meeting))).json()["deliveries"].clone();
    until("its being given up", || list()[0]["nextAttemptAt"].is_null());
    assert_eq!(list()[0]["deliveredAt"], Value::Null);
    // Setting the URL again enables the receiver.
    let body = json!({"webhookUrl": receiver.url(), "title": "A fourth"}).to_string();
    assert_eq!(api.ask("PATCH", &path(&meeting), &[("if-match", "*")], Some(&body)).status, 200);
    let hook = receiver.next();
    assert_eq!(
        (hook.kind(), &hook.json()["data"]["title"]),
        ("meeting.changed".to_owned(), &json!("A fourth"))
    );
    hook.answer("200 OK");
}

#[test]
fn what_waits_is_sent_after_a_kill() {
    let mut server = Visavis::start(&["--webhook-allow-private"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let receiver = Receptionist::open();
    api.book(&json!({"webhookUrl": receiver.url()}));
    let hook = receiver.next();
    server.kill();
    let id = hook.headers["webhook-id"].clone();
    drop(hook);
    let _server = Visavis::start_in(server.folder(), &["--webhook-allow-private"]);
    let again = receiver.next();
    assert_eq!(again.headers["webhook-id"], id);
    again.answer("200 OK");
}

#[test]
fn webhooks_go_to_no_private_address() {
    let server = Visavis::start(&[]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    for url in [
        "http://127.0.0.1/",
        "http://localhost:9/",
        "http://[::ffff:10.0.0.1]/",
        "http://0x7f.1/",
        "ftp://a.example/",
        "hook",
    ] {
        let answer = api.post("/api/v1/meetings", &wanted(&json!({"webhookUrl": url})));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad-request")), "{url}");
    }
}

#[test]
fn somebodys_coming_is_no_change_that_another_change_must_know_of() {
    let server = Visavis::start(&["--webhook-allow-private"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let receiver = Receptionist::open();
    let booked = api.post("/api/v1/meetings", &wanted(&json!({"webhookUrl": receiver.url()})));
    let (meeting, etag) = (booked.json(), booked.header("etag"));
    receiver.next().answer("200 OK");
    let mut ada = Ws::connect(server.addr);
    ada.send(&json!({"type": "join", "room": meeting["code"], "name": "Ada"}));
    ada.until("welcome");
    let started = receiver.next();
    assert_eq!(started.kind(), "meeting.started");
    started.answer("200 OK");
    assert_eq!(api.get(&path(&meeting)).header("etag"), etag);
    let body = json!({"title": "Another"}).to_string();
    assert_eq!(api.ask("PATCH", &path(&meeting), &[("if-match", etag)], Some(&body)).status, 200);
}

/// The messages until the end of a meeting, each answered.
fn told(receiver: &Receptionist, last: &str) -> Vec<Value> {
    let mut told = Vec::new();
    while told.last().is_none_or(|hook: &Value| hook["type"] != last) {
        let hook = receiver.next();
        told.push(hook.json());
        hook.answer("204 No Content");
    }
    told
}

/// The event types in order, with the peer and the reason if there is one.
fn attendance(told: &[Value]) -> Vec<(&str, &str, &str)> {
    fn text<'a>(of: &'a Value, name: &str) -> &'a str {
        of[name].as_str().unwrap_or_default()
    }
    told.iter()
        .map(|one| (text(one, "type"), text(&one["data"], "peer"), text(&one["data"], "reason")))
        .collect()
}

#[test]
fn everybodys_leaving_is_told_before_the_end_and_who_they_were() {
    for ends in ["in the room", "by the interface", "called off", "erased"] {
        let server = Visavis::start(&["--webhook-allow-private"]);
        let api = Api::with_key(&server, &["meetings:write"], &[]);
        let receiver = Receptionist::open();
        let meeting = api.book(&json!({"webhookUrl": receiver.url()}));
        told(&receiver, "meeting.created");
        // Two peers of one name: the service can tell them apart.
        let enter = |sub: &str, host: bool| {
            let wanted = json!({"name": "Ada", "sub": sub, "host": host, "metadata": {"class": sub}});
            let tokens = format!("/api/v1/rooms/{}/tokens", meeting["code"].as_str().unwrap());
            let token = api.post(&tokens, &wanted).json()["token"].clone();
            let mut ws = Ws::connect(server.addr);
            ws.send(&json!({"type": "join", "room": meeting["code"], "name": "x", "token": token}));
            let welcome = ws.until("welcome");
            (ws, welcome["self"]["id"].as_str().unwrap().to_owned())
        };
        let (mut teacher, first) = enter("user-1", true);
        let (mut pupil, second) = enter("user-2", false);
        let (mut early, third) = enter("user-3", false);
        early.send(&json!({"type": "leave"}));
        early.closed();
        pupil.until("peer-left");
        match ends {
            "in the room" => teacher.send(&json!({"type": "host", "action": "end"})),
            "by the interface" => drop(api.post(&format!("{}/end", path(&meeting)), &json!({}))),
            "called off" => drop(api.ask("DELETE", &path(&meeting), &[], None)),
            _ => drop(api.ask("DELETE", &format!("{}?erase=true", path(&meeting)), &[], None)),
        }
        let last = if ends.contains("e room") || ends.contains("interface") {
            "meeting.ended"
        } else {
            "meeting.cancelled"
        };
        let told = told(&receiver, last);
        let seen = attendance(&told);
        assert_eq!(
            seen[..5],
            [
                ("meeting.started", "", ""),
                ("peer.joined", &*first, ""),
                ("peer.joined", &second, ""),
                ("peer.joined", &third, ""),
                ("peer.left", &third, "left"),
            ],
            "{ends}"
        );
        let mut both = [("peer.left", &*first, "ended"), ("peer.left", &second, "ended")];
        both.sort_unstable();
        let mut ended = seen[5..7].to_vec();
        ended.sort_unstable();
        assert_eq!((ended, seen[7].0, seen.len()), (both.to_vec(), last, 8), "{ends}: {seen:?}");
        for (index, sub) in [(1, "user-1"), (2, "user-2"), (4, "user-3")] {
            let data = &told[index]["data"];
            assert_eq!(
                (&data["sub"], &data["name"], &data["role"]),
                (&json!(sub), &json!("Ada"), &json!("participant"))
            );
            assert_eq!(data["metadata"], json!({"class": sub}));
        }
        pupil.until("room-ended");
    }
}

#[test]
fn who_comes_back_after_a_kill_was_never_told_to_have_gone() {
    let mut server = Visavis::start(&["--webhook-allow-private"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let receiver = Receptionist::open();
    let meeting = api.book(&json!({"webhookUrl": receiver.url()}));
    let join = json!({"type": "join", "room": meeting["code"], "name": "Ada", "token": host_token(&meeting)});
    let mut ada = Ws::connect(server.addr);
    ada.send(&join);
    let credentials = tests::client::credentials(&ada.until("welcome"));
    told(&receiver, "peer.joined");
    until("the notes of it", || {
        let known = api.get(&format!("{}/deliveries", path(&meeting))).json();
        known["deliveries"].as_array().unwrap().iter().all(|one| !one["deliveredAt"].is_null())
    });
    server.kill();
    let server = Visavis::start_in(server.folder(), &["--webhook-allow-private"]);
    let (mut ada, welcome) = Ws::resume(server.addr, &credentials, 0);
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    ada.send(&json!({"type": "host", "action": "end"}));
    let told = told(&receiver, "meeting.ended");
    let peer = &*credentials.peer;
    assert_eq!(attendance(&told), [("peer.left", peer, "ended"), ("meeting.ended", "", "host-ended")]);
}

#[test]
fn the_server_has_a_receiver_of_its_own_for_all_meetings_and_for_rooms_without_one() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let receiver = Receptionist::open();
    // The operator has chosen it, so it may be at a non-public address.
    let server = Visavis::start(&["--webhook-url", &receiver.url(), "--webhook-secret", secret]);
    let heard = |kinds: &[&str]| {
        kinds.iter().fold(Value::Null, |_, kind| {
            let hook = receiver.next();
            assert_eq!(hook.kind(), *kind, "{}", hook.body);
            assert!(hook.is_signed_with(secret));
            let data = hook.json()["data"].clone();
            hook.answer("204 No Content");
            data
        })
    };
    let (mut ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    let joined = heard(&["peer.joined"]);
    assert_eq!((&joined["room"], &joined["name"]), (&json!("standup"), &json!("Ada")));
    assert_eq!((&joined["peer"], &joined["meeting"]), (&welcome["self"]["id"], &Value::Null));
    let (mut bob, _) = Ws::join(server.addr, "standup", "Bob");
    bob.send(&json!({"type": "leave", "seq": 1}));
    let left = heard(&["peer.joined", "peer.left"]);
    assert_eq!((&left["name"], &left["reason"]), (&json!("Bob"), &json!("left")));
    ada.send(&json!({"type": "host", "action": "end", "seq": 1}));
    ada.until("room-ended");
    let ended = heard(&["room.ended"]);
    assert_eq!((&ended["room"], &ended["reason"]), (&json!("standup"), &json!("host-ended")));

    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let meeting = api.book(&json!({}));
    assert_eq!(heard(&["meeting.created"])["meeting"], meeting["meeting"]);
    let mut ada = Ws::connect(server.addr);
    let token = host_token(&meeting);
    ada.send(&json!({"type": "join", "room": meeting["code"], "name": "Ada", "token": token}));
    ada.until("welcome");
    assert_eq!(heard(&["meeting.started", "peer.joined"])["code"], meeting["code"]);
    let deliveries = api.get(&format!("{}/deliveries", path(&meeting))).json();
    assert_eq!(
        deliveries["deliveries"],
        json!([]),
        "they are the operator's, not those of who has booked it"
    );
}

#[test]
fn the_server_and_a_meeting_have_receivers_that_do_not_wait_for_each_other() {
    let (all, one) = (Receptionist::open(), Receptionist::open());
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let url = all.url();
    let server =
        Visavis::start(&["--webhook-url", &url, "--webhook-secret", secret, "--webhook-allow-private"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let meeting = api.book(&json!({"webhookUrl": one.url()}));
    let unanswered = all.next();
    for kind in ["meeting.created", "meeting.changed"] {
        let hook = one.next();
        assert_eq!(hook.kind(), kind);
        assert!(!hook.is_signed_with(secret));
        hook.answer("204 No Content");
        if kind == "meeting.created" {
            let body = json!({"title": "Another"}).to_string();
            assert_eq!(api.ask("PATCH", &path(&meeting), &[("if-match", "*")], Some(&body)).status, 200);
        }
    }
    unanswered.answer("204 No Content");
    let changed = all.next();
    assert_eq!(changed.kind(), "meeting.changed");
    changed.answer("204 No Content");
}
