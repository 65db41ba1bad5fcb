//! Engine.IO requests one by one: polling, posting, and upgrading to a WebSocket.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tests::Visavis;
use tests::client::{Ws, connect};
use tests::{Answer, request};
use tungstenite::{Message, WebSocket};

/// A client that is polling.
struct Poller {
    addr: SocketAddr,
    sid: String,
}

fn ask(addr: SocketAddr, method: &str, query: &str, body: Option<&[u8]>) -> Answer {
    request(addr, method, &format!("/socket.io/?{query}"), &[], body)
}

impl Poller {
    fn open(addr: SocketAddr) -> Self {
        let answer = ask(addr, "GET", "EIO=4&transport=polling", None);
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.body);
        let open: Value = serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], json!(["websocket"]));
        Self { addr, sid: open["sid"].as_str().unwrap().to_owned() }
    }

    fn query(&self, transport: &str) -> String {
        format!("EIO=4&transport={transport}&sid={}", self.sid)
    }

    fn post(&self, payload: &str) -> Answer {
        ask(self.addr, "POST", &self.query("polling"), Some(payload.as_bytes()))
    }

    /// The result of one poll.
    fn poll(&self) -> Vec<String> {
        let answer = ask(self.addr, "GET", &self.query("polling"), None);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body.split('\u{1e}').map(str::to_owned).collect()
    }

    /// Polls until a packet begins with this text.
    fn until(&self, start: &str) -> String {
        loop {
            if let Some(packet) = self.poll().into_iter().find(|packet| packet.starts_with(start)) {
                return packet;
            }
        }
    }

    fn websocket(&self) -> WebSocket<TcpStream> {
        let url = format!("ws://{}/socket.io/?{}", self.addr, self.query("websocket"));
        tungstenite::client(url, connect(self.addr)).unwrap().0
    }

    /// Connects to the namespace and joins.
    fn join(&self, room: &str) {
        let join = json!(["message", {"type": "join", "room": room, "name": "Ada", "topology": "mesh"}]);
        assert_eq!(self.post(&format!("40\u{1e}420{join}")).body, "ok");
        assert!(self.until("430[").contains("welcome"));
    }
}

fn text(socket: &mut WebSocket<TcpStream>) -> String {
    socket.read().unwrap().into_text().unwrap().to_string()
}

#[test]
fn requests_that_make_no_sense_are_answered_as_the_protocol_has_it() {
    let server = Visavis::start(&[]);
    let code = |method: &str, query: &str, body: Option<&[u8]>| {
        let answer = ask(server.addr, method, query, body);
        assert_eq!(answer.status, 400, "{}", answer.body);
        answer.json()["code"].as_u64().unwrap()
    };
    assert_eq!(code("GET", "EIO=3&transport=polling", None), 5);
    assert_eq!(code("GET", "EIO=4&transport=smoke", None), 0);
    assert_eq!(code("POST", "EIO=4&transport=polling", Some(b"40")), 2);
    assert_eq!(code("GET", "EIO=4&transport=polling&sid=AAAA", None), 1);
    let poller = Poller::open(server.addr);
    assert_eq!(code("POST", &poller.query("websocket"), Some(b"40")), 3);
    assert_eq!(code("POST", &poller.query("polling"), Some(b"\xff")), 3);
    let path = format!("/socket.io/?{}", poller.query("polling"));
    assert_eq!(request(server.addr, "POST", &path, &[("content-length", "1100000")], None).status, 413);
    // None of that affects it.
    assert_eq!(poller.post("40").body, "ok");
    assert!(poller.until("40{").contains("sid"));
    // The same holds for packets without content, as many as fit.
    assert_eq!(poller.post(&"6\u{1e}".repeat(500_000)).body, "ok");
    poller.join("sense");
    // An invalid packet ends the session, and this is reported.
    poller.post("x");
    let heard = poller.poll();
    let [.., error, disconnect] = &heard[..] else { panic!("{heard:?}") };
    assert!(error.contains("bad-request"), "{error}");
    assert_eq!(disconnect, "41");
    assert_eq!(poller.poll(), ["1"]);
    assert_eq!(poller.post("1").body, "ok");
    let gone = loop {
        let answer = ask(server.addr, "GET", &poller.query("polling"), None);
        if answer.body != "1" {
            break answer;
        }
    };
    assert_eq!((gone.status, &gone.json()["code"]), (400, &json!(1)));
}

#[test]
fn nobody_begins_to_poll_without_end() {
    let server = Visavis::start(&[]);
    let mut stream = connect(server.addr);
    let mut begun = 0;
    // Over one connection, where nothing else would stop it.
    loop {
        let request =
            format!("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr);
        stream.write_all(request.as_bytes()).unwrap();
        match answered(&mut stream) {
            200 => begun += 1,
            status => break assert_eq!(status, 429),
        }
    }
    assert!(begun >= 500, "{begun}");
}

/// Reads one of several responses to its end; returns its status.
fn answered(stream: &mut TcpStream) -> u16 {
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(rest) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = rest.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    status
}

#[test]
fn a_client_changes_to_a_websocket_and_loses_nothing() {
    let server = Visavis::start(&[]);
    let poller = Poller::open(server.addr);
    poller.join("change");
    // An unfinished probe changes nothing.
    let mut tried = poller.websocket();
    tried.send(Message::text("2probe")).unwrap();
    assert_eq!(text(&mut tried), "3probe");
    assert_eq!(poller.poll(), ["6"], "a client that is about to change is not kept waiting");
    tried.close(None).unwrap();
    assert!(matches!(tried.read(), Ok(Message::Close(_)) | Err(_)));
    let mut early = poller.websocket();
    early.send(Message::text("5")).unwrap();
    assert!(early.read().is_err(), "not without a probe");
    let ping = |n: u32| format!("42{n}{}", json!(["message", {"type": "ping", "t": n}]));
    poller.post(&ping(1));
    assert!(poller.until("431[").contains("pong"));

    // Packets queued before the upgrade arrive over the new transport. The client polls no more and finishes its
    // requests first.
    let mut socket = poller.websocket();
    socket.send(Message::text("2probe")).unwrap();
    assert_eq!(text(&mut socket), "3probe");
    for n in 2..6 {
        assert_eq!(poller.post(&ping(n)).body, "ok");
    }
    socket.send(Message::text("5")).unwrap();
    socket.send(Message::text(ping(6))).unwrap();
    for n in 2..7 {
        assert!(text(&mut socket).starts_with(&format!("43{n}[")));
    }
    let answer = ask(server.addr, "GET", &poller.query("polling"), None);
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(1)), "it polls no more");
    socket.send(Message::text(format!("42{}", json!(["message", {"type": "leave"}])))).unwrap();
    while text(&mut socket) != "41" {}
}

#[test]
fn a_namespace_that_is_not_there_is_refused_by_its_name() {
    let server = Visavis::start(&[]);
    let poller = Poller::open(server.addr);
    for name in ["/admin", "/my-app/1"] {
        assert_eq!(poller.post(&format!("40{name}?token=1,")).body, "ok");
        assert_eq!(poller.poll(), [format!(r#"44{name},{{"message":"Invalid namespace"}}"#)]);
    }
    poller.join("after-all");
    // The server closes a client that reads: all of its remaining requests are answered.
    assert_eq!(poller.post("41").body, "ok");
    assert_eq!(poller.poll(), ["1"]);
    assert_eq!(poller.post("1").body, "ok");
}

#[test]
fn what_was_said_before_the_end_is_heard_however_late() {
    let server = Visavis::start(&[]);
    let (mut bob, _) = Ws::join(server.addr, "late", "Bob");
    let poller = Poller::open(server.addr);
    poller.join("late");
    // She does not poll: the first packet waits for a poll, and the rest waits behind it.
    for (seq, message) in [
        json!({"type": "chat", "text": "one"}),
        json!({"type": "chat", "text": "two"}),
        json!({"type": "host", "action": "end"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = message;
        message["seq"] = (seq + 1).into();
        bob.send(&message);
        assert_eq!(bob.until("ack")["seq"], seq + 1);
    }
    let mut heard = Vec::new();
    while heard.last().is_none_or(|packet| packet != "41") {
        heard.extend(poller.poll());
    }
    for said in [r#""text":"one""#, r#""text":"two""#, "room-ended"] {
        assert!(heard.iter().any(|packet| packet.contains(said)), "{said}: {heard:?}");
    }
}
