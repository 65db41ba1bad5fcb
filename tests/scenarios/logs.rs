//! The log as JSON: who entered which room, what was refused and why, and nothing that lets a reader of the log in anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use tests::api::{Api, host_token};
use tests::client::{Sse, Ws, credentials, post};
use tests::hooks::Receptionist;
use tests::smtp::{MailServer, Mood, PASSWORD};
use tests::socketio::Sio;
use tests::tokens::{SECRET, token};
use tests::{Visavis, get, request};

const PUBLISH: &str = include_str!("offers/chromium-156-publish.sdp");
const CLUSTER_SECRET: &str = "the-secret-of-every-server-here";
const TURN_SECRET: &str = "the-secret-that-relays-share";
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ROOM_PASSWORD: &str = "open-sesame-42";
const WRONG_PASSWORD: &str = "wrong-sesame-43";
const WRONG_BEARER: &str = "bearer-of-bad-news-44";
const CHAT: &str = "between-us-alone-45";
const BROKEN: &str = "half-a-token-46";
const SDP: (&str, &str) = ("content-type", "application/sdp");

/// What must not be in the log.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn note(&mut self, secret: &str) {
        // Nothing shorter is a secret.
        assert!(secret.len() > 7, "{secret}");
        self.0.push(secret.to_owned());
    }

    /// Notes the texts in an answer whose names say that they are secret.
    fn note_of(&mut self, answer: &Value) {
        const NAMES: [&str; 6] = ["secret", "hostToken", "credential", "webhookSecret", "joinUrl", "hostUrl"];
        match answer {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str().filter(|_| NAMES.contains(&&**name)) {
                        Some(secret) => self.note(secret),
                        None => self.note_of(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.note_of(value)),
            _ => {}
        }
    }

    /// Notes what a description contains: the credentials of ICE, the fingerprint, and all its lines of some length.
    fn note_sdp(&mut self, sdp: &str) {
        let said = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"];
        let lines = sdp.lines().filter(|line| line.len() > 16 || said.iter().any(|it| line.starts_with(it)));
        for line in lines {
            self.note(line);
            if let Some(password) = line.strip_prefix("a=ice-pwd:") {
                self.note(password);
            }
        }
    }

    fn are_not_in(&self, log: &[Value]) {
        assert!(self.0.len() > 60, "{} secrets", self.0.len());
        for event in log {
            let line = event.to_string();
            for secret in &self.0 {
                let escaped = Value::from(&**secret).to_string();
                assert!(
                    !line.contains(secret) && !line.contains(escaped.trim_matches('"')),
                    "{secret} in {line}"
                );
            }
        }
    }
}

/// A server for which as much as possible is secret.
fn start(mail: &MailServer, receiver: &Receptionist) -> Visavis {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, mail.certificate()).unwrap();
    let (smtp, url) = (mail.url(), receiver.url());
    #[rustfmt::skip]
    let arguments = [
        "--log-level", "debug", "--auth-key", SECRET, "--cluster-secret", CLUSTER_SECRET, "--turn-secret", TURN_SECRET,
        "--smtp", &smtp, "--mail-from", "calls@example.org", "--public-url", "https://calls.example",
        "--webhook-url", &url, "--webhook-secret", WEBHOOK_SECRET, "--webhook-allow-private",
    ];
    Visavis::start_with(folder, &arguments, &[("SSL_CERT_FILE", trusted.to_str().unwrap())])
}

fn join(token: Option<&str>, password: Option<&str>) -> Value {
    json!({"type": "join", "room": "standup", "name": "Ada", "token": token, "password": password})
}

/// Books a meeting, of which a letter and a webhook tell.
fn book(server: &Visavis, mail: &MailServer, receiver: &Receptionist, secrets: &mut Secrets) {
    let api = Api::with_key(server, &["meetings:write"], &[]);
    secrets.note(api.bearer());
    let attendees = json!([{"name": "Ada", "email": "ada@example.net"}]);
    let meeting = api.book(&json!({"attendees": attendees, "password": "meet-me-at-47"}));
    secrets.note("meet-me-at-47");
    secrets.note(meeting["code"].as_str().unwrap());
    secrets.note(host_token(&meeting));
    secrets.note_of(&meeting);
    mail.next();
    receiver.next().answer("500 Internal Server Error");
    server.logged("a receiver of webhooks fails: it is tried again");
    // A stranger guesses the password of the meeting, and a code.
    let knock = |code: &Value| {
        let mut stranger = Ws::connect(server.addr);
        stranger.send(&json!({"type": "join", "room": code, "name": "Eve", "password": WRONG_PASSWORD}));
        stranger.next()["code"].clone()
    };
    assert_eq!(knock(&meeting["code"]), "wrong-password");
    assert_eq!(knock(&json!("k7m-2xr-9dn")), "not-found");
    secrets.note("k7m-2xr-9dn");
}

/// Enters a room in every way, rightly and wrongly; returns the peer of the first.
fn enter(server: &Visavis, secrets: &mut Secrets) -> String {
    let addr = server.addr;
    let host = token("standup", json!({"host": true}));
    let guest = token("standup", json!({}));
    let forged = format!("{}x", token("standup", json!({"sub": "eve"})));
    for secret in [&host, &guest, &forged] {
        secrets.note(secret);
    }
    let mut ada = Ws::connect(addr);
    ada.send(&join(Some(&host), None));
    let adas = ada.until("welcome");
    secrets.note_of(&adas);
    ada.send(&json!({"type": "host", "action": "set-password", "value": ROOM_PASSWORD, "seq": 1}));
    ada.until("ack");
    ada.send(&json!({"type": "chat", "text": CHAT, "seq": 2}));
    ada.until("ack");

    let mut eve = Ws::connect(addr);
    eve.send(&join(Some(&forged), None));
    assert_eq!(eve.next()["code"], "unauthorized");
    // A token passes the password.
    let answer = post(addr, "/api/v1/sessions", None, &join(Some(&guest), Some(WRONG_PASSWORD)).to_string());
    let welcome = answer.json();
    secrets.note_of(&welcome);
    let mut sio = Sio::connect(addr);
    let sios = sio.ask(&join(Some(&guest), Some(ROOM_PASSWORD)));
    assert_eq!(sios["type"], "welcome", "{sios}");
    secrets.note_of(&sios);
    drop(Sse::open(addr, credentials(&welcome), None));
    secrets.note_of(&Ws::resume(addr, &credentials(&adas), ada.last_id).1);

    let mut torn = Ws::connect(addr);
    torn.send_text(format!(r#"{{"type": "join", "room": "standup", "token": "{BROKEN}"#));
    assert_eq!(torn.next()["type"], "error");
    let bearer = [("authorization", &*format!("Bearer {WRONG_BEARER}"))];
    assert_eq!(request(addr, "GET", "/api/v1/rooms", &bearer, None).status, 401);
    assert_eq!(get(addr, &format!("/api/v1/rooms/standup?token={BROKEN}")).status, 200);
    adas["self"]["id"].as_str().unwrap().to_owned()
}

/// Publishes by WHIP, with good and bad descriptions.
fn publish(server: &Visavis, secrets: &mut Secrets) {
    let addr = server.addr;
    let bearer = token("stage", json!({}));
    secrets.note(&bearer);
    let bearer = format!("Bearer {bearer}");
    let headers = [SDP, ("authorization", &*bearer)];
    let answer = request(addr, "POST", "/whip/stage", &headers, Some(PUBLISH.as_bytes()));
    assert_eq!(answer.status, 201, "{}", answer.body);
    secrets.note_sdp(PUBLISH);
    secrets.note_sdp(&answer.body);
    let session = answer.header("location");
    secrets.note(session.rsplit('/').next().unwrap());
    let worse = PUBLISH.replace("a=fingerprint:", "a=no-fingerprint:");
    assert_eq!(request(addr, "POST", "/whip/stage", &headers, Some(worse.as_bytes())).status, 422);
    let fragment = [("content-type", "application/trickle-ice-sdpfrag")];
    assert_ne!(request(addr, "PATCH", session, &fragment, Some(b"a=ice-pwd:not-a-fragment-48")).status, 200);
    secrets.note("not-a-fragment-48");
    assert_eq!(request(addr, "DELETE", session, &[], None).status, 200);
}

#[test]
fn rooms_peers_requests_and_causes_are_in_the_log_and_no_secrets() {
    let (mail, receiver) = (MailServer::open(Mood::Takes), Receptionist::open());
    let server = start(&mail, &receiver);
    let mut secrets = Secrets::default();
    for secret in [
        SECRET,
        CLUSTER_SECRET,
        TURN_SECRET,
        WEBHOOK_SECRET,
        PASSWORD,
        ROOM_PASSWORD,
        WRONG_PASSWORD,
        WRONG_BEARER,
        CHAT,
        BROKEN,
    ] {
        secrets.note(secret);
    }
    book(&server, &mail, &receiver, &mut secrets);
    let ada = enter(&server, &mut secrets);
    publish(&server, &mut secrets);
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success());

    for event in &log {
        assert!(["timestamp", "level", "target"].iter().all(|name| event[name].is_string()), "{event}");
    }
    let has = |fields: Value| {
        let fits =
            |event: &Value| fields.as_object().unwrap().iter().all(|(name, value)| event[name] == *value);
        assert!(log.iter().any(fits), "no {fields} in {log:#?}");
    };
    has(json!({"message": "entered", "room": "standup", "peer": ada, "request": "join"}));
    has(json!({"message": "entered", "room": "standup", "peer": ada, "request": "resume"}));
    has(json!({"message": "entered", "room": "stage", "request": "join by WHIP or WHEP"}));
    has(json!({"message": "not let in", "room": "standup", "request": "join", "cause": "unauthorized"}));
    has(json!({"message": "not let in", "request": "join", "cause": "wrong-password"}));
    has(json!({"message": "not let in", "request": "join", "cause": "not-found"}));
    secrets.are_not_in(&log);
}
