//! Hosts' powers: who has them, in which room, and what they outlive.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![allow(
    clippy::similar_names,
    clippy::needless_pass_by_value,
    reason = "short steps, with `json!` in place"
)]

mod stage;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signaling_core::room::{MediaTerms, RoomRecord};
use signaling_core::testing::SeededEntropy;
use signaling_core::{LifeId, RecordScope, TokenIdentity};
use stage::Stage;

/// The state of the room before an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Locked,
    /// With a lobby, and Wanda waiting in it.
    Lobby,
    Ended,
}

use State::{Ended, Lobby, Locked, Open};

const STATES: [State; 4] = [Open, Locked, Lobby, Ended];
const ROLES: [&str; 4] = ["host", "participant", "viewer", "waiting"];

/// Each action: its target and its value; the host's answer in an open room, a locked room, one with a lobby and one
/// that has ended; and the event by which the target (else the host) learns of it, or `-` for none, in the states where
/// it is acknowledged.
type Row = (&'static str, &'static str, Option<Value>, [&'static str; 4], [&'static str; 3]);

fn table() -> Vec<Row> {
    let ok = ["ack", "ack", "ack", "nothing"];
    let lobby_only = ["peer-unknown", "peer-unknown", "ack", "nothing"];
    let never = ["invalid-state", "invalid-state", "invalid-state", "nothing"];
    vec![
        ("admit", "waiting", None, lobby_only, ["-", "-", "lobby"]),
        ("deny", "waiting", None, lobby_only, ["-", "-", "lobby"]),
        ("admit", "participant", None, never, ["-"; 3]),
        ("deny", "participant", None, never, ["-"; 3]),
        ("kick", "participant", None, ok, ["peer-left"; 3]),
        ("kick", "viewer", None, ok, ["-"; 3]),
        ("kick", "host", None, never, ["-"; 3]),
        ("mute", "participant", None, ok, ["muted"; 3]),
        ("lock", "", None, ok, ["room-updated", "-", "room-updated"]),
        ("unlock", "", None, ok, ["-", "room-updated", "-"]),
        ("set-password", "", Some(json!("sesame")), ok, ["room-updated"; 3]),
        (
            "set-password",
            "",
            Some(json!(7)),
            ["bad-request", "bad-request", "bad-request", "nothing"],
            ["-"; 3],
        ),
        ("set-lobby", "", Some(json!(true)), ok, ["room-updated", "room-updated", "-"]),
        ("set-lobby", "", Some(json!(false)), ok, ["-", "-", "room-updated"]),
        ("promote", "participant", None, ok, ["room-updated"; 3]),
        ("promote", "viewer", None, ok, ["peer-updated"; 3]),
        ("start-recording", "", None, ok, ["recording"; 3]),
        ("stop-recording", "", None, never, ["-"; 3]),
        ("end", "", None, ok, ["room-ended"; 3]),
    ]
}

/// A room in a state, with a peer of every role that it can have.
fn room(state: State) -> Stage {
    let mut stage = Stage::new();
    stage.join("host", json!({}));
    stage.join("participant", json!({}));
    assert_eq!(stage.join("viewer", json!({"role": "viewer"}))["self"]["role"], "viewer");
    let set = |stage: &mut Stage, action: &str, value: Value| {
        assert_eq!(stage.say("host", json!({"type": "host", "action": action, "value": value})), "ack");
    };
    match state {
        Open => {}
        Locked => set(&mut stage, "lock", Value::Null),
        Lobby => {
            set(&mut stage, "set-lobby", json!(true));
            assert_eq!(stage.join("waiting", json!({}))["state"], "waiting");
        }
        Ended => set(&mut stage, "end", Value::Null),
    }
    // The viewers are counted once a second.
    stage.pass(Duration::from_secs(2));
    for who in people(state) {
        stage.heard(who);
    }
    stage
}

fn people(state: State) -> impl Iterator<Item = &'static str> {
    ROLES.into_iter().filter(move |role| *role != "waiting" || state == Lobby)
}

fn act(stage: &mut Stage, state: State, who: &str, (action, whom, value, ..): &Row) -> String {
    let mut message = json!({"type": "host", "action": action});
    if let Some(value) = value {
        message["value"] = value.clone();
    }
    if !whom.is_empty() {
        let is_there = *whom != "waiting" || state == Lobby;
        message["peer"] = if is_there { stage.peer(whom) } else { "nobody".to_owned() }.into();
    }
    stage.say(who, message)
}

#[test]
fn every_power_in_every_room_for_everybody() {
    for (column, state) in STATES.into_iter().enumerate() {
        for row in table() {
            let (action, whom, _, answers, events) = &row;
            let mut stage = room(state);
            let answer = act(&mut stage, state, "host", &row);
            assert_eq!(answer, answers[column], "{state:?}: host {action} {whom}");
            if answer == "ack" {
                let hears = if whom.is_empty() || events[column] == "room-updated" { "host" } else { whom };
                let heard = stage.heard(hears);
                let is_heard = heard.iter().any(|event| event["type"] == events[column]);
                let is_quiet = events[column] == "-";
                assert!(
                    is_heard || is_quiet,
                    "{state:?}: {action} {whom}: {heard:?} is not {}",
                    events[column]
                );
                let records = stage.recordings();
                assert_eq!(records.len(), usize::from(*action == "start-recording"), "{state:?}: {action}");
            }
            for who in people(state).filter(|who| *who != "host") {
                let mut stage = room(state);
                let answer = act(&mut stage, state, who, &row);
                let expected = if state == Ended { "nothing" } else { "forbidden" };
                assert_eq!(answer, expected, "{state:?}: {who} {action} {whom}");
                for other in people(state) {
                    assert!(stage.heard(other).is_empty(), "{state:?}: {who} {action} {whom} has an effect");
                    assert!(state == Ended || stage.was_let_go(other).is_none());
                }
                assert!(stage.recordings().is_empty());
            }
        }
    }
}

/// The answer to a newcomer: `joined`, `waiting` or the error.
fn newcomer(stage: &mut Stage, more: Value) -> String {
    let welcome = stage.join("newcomer", more);
    welcome["state"].as_str().or(welcome["code"].as_str()).unwrap().to_owned()
}

fn say(stage: &mut Stage, who: &str, action: &str, value: Value) {
    assert_eq!(
        stage.say(who, json!({"type": "host", "action": action, "value": value})),
        "ack",
        "{who} {action}"
    );
}

#[test]
fn what_the_host_sets_keeps_people_out() {
    let mut stage = room(Open);
    say(&mut stage, "host", "lock", Value::Null);
    assert_eq!(newcomer(&mut stage, json!({})), "room-locked");
    say(&mut stage, "host", "unlock", Value::Null);
    say(&mut stage, "host", "set-password", json!("sesame"));
    assert_eq!(newcomer(&mut stage, json!({})), "wrong-password");
    assert_eq!(newcomer(&mut stage, json!({"password": "Sesame"})), "wrong-password");
    assert_eq!(newcomer(&mut stage, json!({"password": "sesame"})), "joined");
    say(&mut stage, "host", "set-password", Value::Null);
    say(&mut stage, "host", "set-lobby", json!(true));
    assert_eq!(newcomer(&mut stage, json!({})), "waiting");
    say(&mut stage, "host", "set-lobby", json!(false));
    assert!(stage.heard("newcomer").iter().any(|event| event["state"] == "admitted"), "the door is open");
}

#[test]
fn whoever_was_kicked_stays_out() {
    let mut stage = room(Open);
    assert_eq!(newcomer(&mut stage, json!({"clientId": "the same page"})), "joined");
    let peer = stage.peer("newcomer");
    assert_eq!(stage.say("host", json!({"type": "host", "action": "kick", "peer": peer})), "ack");
    assert!(stage.was_let_go("newcomer").is_some());
    assert_eq!(stage.resume("newcomer")["code"], "session-unknown");
    assert_eq!(newcomer(&mut stage, json!({"clientId": "the same page"})), "forbidden");
    assert_eq!(newcomer(&mut stage, json!({"clientId": "another page"})), "joined");
}

/// A room with a guest, which the host then closes in every way.
fn closed_behind(guest: Value) -> Stage {
    let mut stage = room(Open);
    assert_eq!(stage.join("guest", guest)["state"], "joined");
    let doors = [("lock", Value::Null), ("set-password", json!("sesame")), ("set-lobby", json!(true))];
    for (action, value) in doors {
        say(&mut stage, "host", action, value);
    }
    stage
}

#[test]
fn whoever_was_in_comes_back_past_a_closed_door_by_its_client_id() {
    let same = json!({"clientId": "the same page"});
    for end in ["close", "lost", "crash"] {
        let mut stage = closed_behind(same.clone());
        match end {
            "close" => assert_eq!(stage.say("guest", json!({"type": "leave", "mayReturn": true})), "ack"),
            "lost" => stage.lose("guest"),
            _ => {}
        }
        stage.pass(Duration::from_secs(29));
        assert_eq!(newcomer(&mut stage, json!({})), "room-locked", "{end}");
        assert_eq!(newcomer(&mut stage, json!({"clientId": "another page"})), "room-locked", "{end}");
        // Neither the password that the client remembers nor used-up guesses matter.
        let mut wrong = same.clone();
        wrong["password"] = json!("of before");
        assert_eq!(newcomer(&mut stage, wrong), "joined", "{end}");
        assert_eq!(newcomer(&mut stage, same.clone()), "joined", "{end}: and once more while it is there");
        assert_eq!(stage.say("newcomer", json!({"type": "leave"})), "ack");
        assert_eq!(newcomer(&mut stage, same.clone()), "room-locked", "{end}: whoever said leave has left");
    }
}

#[test]
fn whoever_was_not_in_or_went_for_good_stays_before_a_closed_door() {
    let same = json!({"clientId": "the same page"});
    for end in ["leave", "late", "kick", "restart"] {
        let mut stage = closed_behind(same.clone());
        let peer = stage.peer("guest");
        let may_return = end != "leave";
        match end {
            "kick" => {
                assert_eq!(stage.say("host", json!({"type": "host", "action": "kick", "peer": peer})), "ack");
            }
            _ => {
                assert_eq!(stage.say("guest", json!({"type": "leave", "mayReturn": may_return})), "ack");
            }
        }
        if end == "late" {
            stage.pass(Duration::from_secs(30));
        }
        if end == "restart" {
            stage.restart();
            stage.resume("host");
        }
        let expected = if end == "kick" { "forbidden" } else { "room-locked" };
        assert_eq!(newcomer(&mut stage, same.clone()), expected, "{end}");
    }
    let mut stage = room(Lobby);
    assert_eq!(newcomer(&mut stage, same.clone()), "waiting");
    assert_eq!(newcomer(&mut stage, same.clone()), "waiting", "it was in the lobby only");
    assert_eq!(stage.say("newcomer", json!({"type": "leave", "mayReturn": true})), "ack");
    assert_eq!(newcomer(&mut stage, same), "waiting");
}

#[test]
fn the_capacity_holds_for_whoever_comes_back() {
    let mut stage = Stage::new();
    let (record, host_token) = stage.arrange(None);
    let record = RoomRecord { capacity: Some(2), ..record };
    let guest = json!({"room": record.room, "clientId": "the same page"});
    let host = json!({"room": record.room, "token": host_token});
    stage.meeting = Some(Arc::new(record));
    assert_eq!(stage.join("host", host.clone())["state"], "joined");
    assert_eq!(stage.join("guest", guest.clone())["state"], "joined");
    assert_eq!(stage.say("guest", json!({"type": "leave", "mayReturn": true})), "ack");
    assert_eq!(stage.join("cohost", host)["state"], "joined");
    assert_eq!(stage.join("guest", guest)["code"], "room-full");
}

#[test]
fn whose_session_is_over_stays_out_over_a_restart() {
    for end in ["leave", "close", "timeout", "replaced", "kick"] {
        let mut stage = room(Open);
        let second = json!({"clientId": "the same page"});
        assert_eq!(stage.join("guest", second.clone())["state"], "joined");
        let peer = stage.peer("guest");
        let former = stage.secret("guest");
        match end {
            "leave" => assert_eq!(stage.say("guest", json!({"type": "leave"})), "ack"),
            "close" => assert_eq!(stage.say("guest", json!({"type": "leave", "mayReturn": true})), "ack"),
            "timeout" => {
                stage.lose("guest");
                stage.pass(Duration::from_secs(31));
            }
            "replaced" => drop(stage.join("guest", second.clone())),
            _ => {
                assert_eq!(stage.say("host", json!({"type": "host", "action": "kick", "peer": peer})), "ack");
            }
        }
        for (action, value) in [("lock", Value::Null), ("set-lobby", json!(true))] {
            say(&mut stage, "host", action, value);
        }
        // However often the server restarts, and whatever it has written in between.
        for restart in 0..3 {
            stage.restart();
            stage.resume("host");
            let code = stage.resume_with("guest", &former)["code"].clone();
            assert!(
                code == "session-unknown" || (end == "kick" && code == "forbidden"),
                "{end}, restart {restart}: {code}"
            );
            say(&mut stage, "host", "set-password", json!(restart.to_string()));
        }
    }
}

#[test]
fn a_kick_bars_the_join_token_by_what_it_says_of_its_holder() {
    let token = |id: Option<&str>, subject: Option<&str>, text: &str| TokenIdentity {
        id: id.map(Into::into),
        subject: subject.map(Into::into),
        text: text.into(),
    };
    // The token of the kicked peer, the way it is kicked, and the answer to another token.
    let rows = [
        (token(Some("1"), None, "a"), Value::Null, token(Some("1"), None, "a"), "forbidden"),
        (token(Some("1"), None, "a"), Value::Null, token(Some("2"), None, "b"), "joined"),
        (token(None, Some("eve"), "a"), Value::Null, token(Some("9"), Some("eve"), "b"), "forbidden"),
        (token(Some("1"), Some("eve"), "a"), Value::Null, token(Some("2"), Some("eve"), "b"), "forbidden"),
        (token(Some("1"), Some("eve"), "a"), Value::Null, token(Some("1"), Some("bob"), "b"), "forbidden"),
        // A token that does not identify its holder may be shared by many.
        (token(None, None, "a"), Value::Null, token(None, None, "a"), "joined"),
        (token(None, None, "a"), json!("token"), token(None, None, "a"), "forbidden"),
        (token(None, None, "a"), json!("token"), token(None, None, "b"), "joined"),
        // A subject is not an id.
        (token(Some("1"), None, "a"), Value::Null, token(None, Some("1"), "b"), "joined"),
    ];
    for (kicked, value, other, expected) in rows {
        for restart in [false, true] {
            let mut stage = room(Open);
            stage.token = Some(kicked.clone());
            assert_eq!(newcomer(&mut stage, json!({"clientId": "one", "token": "jwt"})), "joined");
            if restart {
                // The session remembers its token, and the room remembers the bar.
                stage.restart();
                stage.resume("host");
                stage.resume("newcomer");
            }
            let mut kick = json!({"type": "host", "action": "kick", "peer": stage.peer("newcomer")});
            kick["value"] = value.clone();
            assert_eq!(stage.say("host", kick), "ack");
            if restart {
                stage.restart();
                stage.resume("host");
            }
            stage.token = Some(other.clone());
            let again = newcomer(&mut stage, json!({"clientId": "two", "token": "jwt"}));
            assert_eq!(again, expected, "{kicked:?} {value} {other:?} restart: {restart}");
            let media = stage.join_media("Camera", "broadcaster", MediaTerms::default());
            assert_eq!(media.is_err(), expected == "forbidden", "nor by WHIP: {media:?}");
        }
    }
}

#[test]
fn a_kick_takes_no_other_value() {
    let mut stage = room(Open);
    let mut kick = json!({"type": "host", "action": "kick", "peer": stage.peer("participant")});
    kick["value"] = json!("tokens");
    assert_eq!(stage.say("host", kick), "bad-request");
    assert_eq!(stage.say("participant", json!({"type": "chat", "text": "still here"})), "ack");
}

#[test]
fn a_join_token_passes_lock_password_and_lobby_but_not_the_capacity() {
    let mut stage = Stage::new();
    let (record, host_token) = stage.arrange(None);
    let record = RoomRecord { capacity: Some(2), ..record };
    let guest = json!({"room": record.room, "token": "jwt"});
    let host = json!({"room": record.room, "token": host_token});
    stage.meeting = Some(Arc::new(record));
    assert_eq!(stage.join("host", host.clone())["state"], "joined");
    for (action, value) in
        [("lock", Value::Null), ("set-password", json!("sesame")), ("set-lobby", json!(true))]
    {
        say(&mut stage, "host", action, value);
    }
    stage.token = Some(TokenIdentity { id: Some("1".into()), ..TokenIdentity::default() });
    assert_eq!(newcomer(&mut stage, guest.clone()), "joined");
    assert_eq!(stage.join("third", guest)["code"], "room-full");
    stage.token = None;
    assert_eq!(stage.join("cohost", host)["state"], "joined", "a host token passes");
}

#[test]
fn the_powers_survive_a_reconnection_and_a_restart() {
    for restart in [false, true] {
        let mut stage = Stage::new();
        let welcome = stage.join("host", json!({}));
        let token = welcome["hostToken"].as_str().unwrap().to_owned();
        stage.join("participant", json!({}));
        for (action, value) in
            [("lock", Value::Null), ("set-password", json!("sesame")), ("set-lobby", json!(true))]
        {
            say(&mut stage, "host", action, value);
        }
        stage.heard("host");
        if restart {
            stage.restart();
        } else {
            stage.lose("host");
            stage.pass(Duration::from_secs(29));
        }
        // The participant is there first, and does not inherit the powers.
        assert_eq!(stage.resume("participant")["resumed"], true);
        assert_eq!(stage.resume("host")["resumed"], true, "restart: {restart}");
        for state in [Open, Locked, Lobby] {
            let row = ("lock", "", None, ["ack"; 4], ["-"; 3]);
            assert_eq!(act(&mut stage, state, "host", &row), "ack", "restart: {restart}");
        }
        assert_eq!(newcomer(&mut stage, json!({"password": "sesame"})), "room-locked");
        say(&mut stage, "host", "unlock", Value::Null);
        assert_eq!(newcomer(&mut stage, json!({})), "wrong-password");
        assert_eq!(newcomer(&mut stage, json!({"password": "sesame"})), "waiting");
        assert_eq!(newcomer(&mut stage, json!({"token": token})), "joined", "host tokens pass all of it");
        say(&mut stage, "newcomer", "set-lobby", json!(false));
    }
}

/// Every peer is away for a while, or the server restarts. Then all are back.
fn come_back(stage: &mut Stage, state: State, restart: bool) {
    if restart {
        stage.restart();
    } else {
        people(state).for_each(|who| stage.lose(who));
        stage.pass(Duration::from_secs(20));
    }
    for who in people(state) {
        assert_eq!(stage.resume(who)["resumed"], true, "{who}, restart: {restart}");
    }
    stage.pass(Duration::from_secs(2));
    for who in people(state) {
        stage.heard(who);
    }
}

#[test]
fn every_power_survives_a_reconnection_and_a_restart() {
    for restart in [false, true] {
        for (column, state) in [Open, Locked, Lobby].into_iter().enumerate() {
            for row in table() {
                let (action, whom, _, answers, _) = &row;
                let mut stage = room(state);
                come_back(&mut stage, state, restart);
                for who in people(state).filter(|who| *who != "host") {
                    let answer = act(&mut stage, state, who, &row);
                    assert_eq!(answer, "forbidden", "{state:?}: {who} {action} {whom}, restart: {restart}");
                }
                let answer = act(&mut stage, state, "host", &row);
                assert_eq!(answer, answers[column], "{state:?}: host {action} {whom}, restart: {restart}");
            }
        }
    }
}

#[test]
fn a_restart_lets_nobody_out_of_the_lobby() {
    let mut stage = room(Lobby);
    assert_eq!(stage.join("denied", json!({}))["state"], "waiting");
    let peer = stage.peer("denied");
    assert_eq!(stage.say("host", json!({"type": "host", "action": "deny", "peer": peer})), "ack");
    stage.restart();
    for who in ["host", "waiting", "denied"] {
        let welcome = stage.resume(who);
        if who == "denied" {
            assert_eq!(welcome["code"], "session-unknown", "who was turned away");
            continue;
        }
        assert_eq!(welcome["state"], if who == "host" { "joined" } else { "waiting" }, "{who}: {welcome}");
        assert_eq!(welcome.get("iceServers").is_some(), who == "host");
    }
    assert_eq!(stage.say("waiting", json!({"type": "chat", "text": "hello"})), "forbidden");
    assert!(stage.heard("host").iter().any(|event| event["type"] == "lobby" && event["name"] == "waiting"));
    let peer = stage.peer("waiting");
    assert_eq!(stage.say("host", json!({"type": "host", "action": "admit", "peer": peer})), "ack");
    assert_eq!(stage.say("waiting", json!({"type": "chat", "text": "hello"})), "ack");
}

#[test]
fn everybody_sees_who_has_the_powers() {
    let mut stage = room(Open);
    let hosts = |stage: &mut Stage, who: &str| -> Vec<(String, bool)> {
        let heard = stage.heard(who);
        let updated = heard.iter().filter(|event| event["type"] == "peer-updated");
        let name = |event: &Value| event["peer"]["name"].as_str().unwrap().to_owned();
        updated.map(|event| (name(event), event["peer"]["host"].as_bool().unwrap())).collect()
    };
    let peer = stage.peer("participant");
    assert_eq!(stage.say("host", json!({"type": "host", "action": "promote", "peer": peer})), "ack");
    for who in ["host", "participant", "viewer"] {
        assert_eq!(hosts(&mut stage, who), [("participant".to_owned(), true)], "as {who} hears it");
    }
    let welcome = stage.join("newcomer", json!({}));
    assert_eq!(welcome["self"]["host"], false);
    assert!(welcome["peers"].as_array().unwrap().iter().all(|peer| peer["host"] == true));
    stage.say("host", json!({"type": "leave"}));
    stage.say("participant", json!({"type": "leave"}));
    assert_eq!(hosts(&mut stage, "newcomer"), [("newcomer".to_owned(), true)], "and who succeeds");
}

#[test]
fn the_eldest_participant_is_host_when_the_host_is_gone_for_good() {
    for leaves in [true, false] {
        let mut stage = room(Open);
        let token = stage.join("second", json!({}));
        assert!(token.get("hostToken").is_none());
        if leaves {
            stage.say("host", json!({"type": "leave"}));
        } else {
            stage.lose("host");
            let early = stage.say("participant", json!({"type": "host", "action": "lock"}));
            assert_eq!(early, "forbidden", "the host may come back");
            stage.pass(Duration::from_secs(31));
        }
        assert_eq!(stage.say("viewer", json!({"type": "host", "action": "lock"})), "forbidden");
        assert_eq!(stage.say("second", json!({"type": "host", "action": "lock"})), "forbidden");
        say(&mut stage, "participant", "lock", Value::Null);
    }
}

#[test]
fn a_room_is_recorded_from_outside_in_the_life_that_was_meant() {
    let mut stage = room(Locked);
    let life = stage.life();
    let other = LifeId::random(&mut SeededEntropy::new(9));
    assert_eq!(stage.record(Some(other), true), "not-found");
    assert_eq!(stage.record(Some(life), false), "invalid-state", "there is nothing to stop");
    assert_eq!((stage.recordings(), stage.heard("participant").len()), (vec![], 0));
    assert_eq!(stage.record(Some(life), true), "");
    assert_eq!(stage.recordings(), [RecordScope::Everybody]);
    let heard = stage.heard("participant");
    assert!(
        heard.iter().any(|event| event["type"] == "recording" && event["state"] == "starting"),
        "{heard:?}"
    );
    assert_eq!(stage.record(None, true), "invalid-state", "once");
    assert_eq!(stage.record(None, false), "");
    assert_eq!(stage.recordings(), [RecordScope::Nobody]);
    assert_eq!(room(Ended).record(None, true), "not-found");
}

#[test]
fn a_host_who_was_not_there_when_they_came_learns_who_waits() {
    let mut stage = Stage::new();
    let token = stage.join("host", json!({}))["hostToken"].clone();
    say(&mut stage, "host", "set-lobby", json!(true));
    stage.join("wanda", json!({}));
    let wanda = stage.peer("wanda");
    let waits = |events: Vec<Value>| {
        let lobby = events.into_iter().filter(|event| event["type"] == "lobby");
        lobby.map(|event| (event["peer"].clone(), event["name"].clone())).collect::<Vec<_>>()
    };
    let told = vec![(json!(wanda), json!("wanda"))];
    assert_eq!(waits(stage.heard("host")), told);
    stage.join("cohost", json!({"token": token}));
    assert_eq!(waits(stage.heard("cohost")), told, "a host who comes later");
    assert_eq!(waits(stage.heard("host")), [], "who knows already");
    stage.restart();
    assert_eq!(stage.resume("wanda")["state"], "waiting", "a restart opens no door");
    stage.resume("host");
    assert_eq!(waits(stage.heard("host")), told, "after a gap");
}

#[test]
fn whoever_becomes_host_learns_who_waits() {
    let mut stage = Stage::new();
    stage.join("host", json!({}));
    stage.join("paul", json!({}));
    say(&mut stage, "host", "set-lobby", json!(true));
    stage.join("wanda", json!({}));
    stage.heard("paul");
    let (paul, wanda) = (stage.peer("paul"), stage.peer("wanda"));
    assert_eq!(stage.say("host", json!({"type": "host", "action": "promote", "peer": paul})), "ack");
    let heard = stage.heard("paul");
    assert!(heard.iter().any(|event| event["type"] == "lobby" && event["peer"] == wanda), "{heard:?}");
}
