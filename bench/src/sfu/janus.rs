//! Janus with its `VideoRoom`, as packaged by Debian, on one event loop, which is its best mode for many peers.
//! Controlled over its WebSocket.

use std::collections::{HashSet, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

use super::shape::Member;
use super::signaling::{Said, Signaling};
use crate::process::Process;

const PLUGINS: &str = "/usr/lib/x86_64-linux-gnu/janus";
const TRIES: usize = 200;

/// A member, and its handles.
struct Joined {
    room: usize,
    is: Member,
    publisher: Option<u64>,
    subscriber: Option<u64>,
}

/// Janus's process and its API.
pub(super) struct Janus {
    pub(super) process: Process,
    /// The configuration; deleted with the process.
    _folder: tempfile::TempDir,
    socket: WebSocket<TcpStream>,
    session: Option<u64>,
    transaction: u64,
    rooms: HashSet<usize>,
    joined: Vec<Joined>,
    said: VecDeque<Said>,
}

impl Janus {
    /// Starts Janus; `None` if it is not installed.
    pub(super) fn start(cpu: &str) -> anyhow::Result<Option<Self>> {
        if !Path::new(PLUGINS).exists() {
            return Ok(None);
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = tempfile::tempdir()?;
        configure(folder.path(), port)?;
        let log = folder.path().join("log");
        let process = Process::pinned(cpu, Path::new("janus"), |command| {
            command.arg("-F").arg(folder.path()).arg("-N").arg("-L").arg(log).stdout(Stdio::null());
        })?;
        let socket = connect(port)?;
        let mut janus = Self {
            process,
            _folder: folder,
            socket,
            session: None,
            transaction: 0,
            rooms: HashSet::new(),
            joined: Vec::new(),
            said: VecDeque::new(),
        };
        let created = janus.request(json!({ "janus": "create" }))?;
        janus.session = created.pointer("/data/id").and_then(Value::as_u64);
        Ok(Some(janus))
    }

    /// Sends a request and waits for its result.
    fn request(&mut self, mut request: Value) -> anyhow::Result<Value> {
        self.transaction += 1;
        let transaction = self.transaction.to_string();
        let fields = request.as_object_mut().context("a request is an object")?;
        fields.insert("transaction".to_owned(), json!(transaction));
        if let Some(session) = self.session {
            fields.insert("session_id".to_owned(), json!(session));
        }
        self.socket.send(Message::text(request.to_string()))?;
        loop {
            let Message::Text(text) = self.socket.read()? else { continue };
            let reply: Value = serde_json::from_str(&text)?;
            let is_ours = reply.get("transaction").and_then(Value::as_str) == Some(&transaction);
            let kind = reply.get("janus").and_then(Value::as_str).unwrap_or_default();
            if !is_ours || kind == "ack" {
                continue;
            }
            let error = reply.pointer("/plugindata/data/error").or_else(|| reply.pointer("/error/reason"));
            if let Some(error) = error {
                bail!("Janus refuses {request}: {error}");
            }
            return Ok(reply);
        }
    }

    fn attach(&mut self) -> anyhow::Result<u64> {
        let reply = self.request(json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" }))?;
        reply.pointer("/data/id").and_then(Value::as_u64).context("no handle")
    }

    fn message(&mut self, handle: u64, body: &Value, jsep: Option<Value>) -> anyhow::Result<Value> {
        let mut request = json!({ "janus": "message", "handle_id": handle, "body": body });
        if let (Some(jsep), Some(fields)) = (jsep, request.as_object_mut()) {
            fields.insert("jsep".to_owned(), jsep);
        }
        self.request(request)
    }
}

/// Members count from 0, ids in Janus from 1.
fn id(number: usize) -> u64 {
    number as u64 + 1
}

fn sdp_of(reply: &Value) -> anyhow::Result<String> {
    Ok(reply.pointer("/jsep/sdp").and_then(Value::as_str).context("no description")?.to_owned())
}

impl Signaling for Janus {
    fn join(&mut self, _: usize, is: Member) -> anyhow::Result<()> {
        if self.rooms.insert(is.room) {
            let handle = self.attach()?;
            let body = json!({
                "request": "create", "room": id(is.room), "publishers": 100, "bitrate": 0, "audiocodec": "opus",
                "videocodec": "vp8", "transport_wide_cc_ext": true, "notify_joining": false,
            });
            self.message(handle, &body, None)?;
        }
        self.joined.push(Joined { room: is.room, is, publisher: None, subscriber: None });
        Ok(())
    }

    fn publish(&mut self, member: usize, offer: &str) -> anyhow::Result<()> {
        let handle = self.attach()?;
        let joined = self.joined.get_mut(member).context("no such member")?;
        joined.publisher = Some(handle);
        let join =
            json!({ "request": "join", "ptype": "publisher", "room": id(joined.room), "id": id(member) });
        self.message(handle, &join, None)?;
        let jsep = json!({ "type": "offer", "sdp": offer });
        let reply = self.message(handle, &json!({ "request": "publish" }), Some(jsep))?;
        self.said.push_back(Said::Answer { member, sdp: sdp_of(&reply)? });
        Ok(())
    }

    fn watch(&mut self, member: usize) -> anyhow::Result<()> {
        let handle = self.attach()?;
        let room = self.joined.get(member).context("no such member")?.room;
        let streams: Vec<Value> = self
            .joined
            .iter()
            .enumerate()
            .filter(|(other, joined)| *other != member && joined.room == room && joined.is.publishes)
            .map(|(other, _)| json!({ "feed": id(other) }))
            .collect();
        let join = json!({ "request": "join", "ptype": "subscriber", "room": id(room), "streams": streams });
        let mut reply = self.message(handle, &join, None);
        for _ in 0..TRIES {
            // Janus knows a publisher only a moment after it is connected.
            if reply.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            reply = self.message(handle, &join, None);
        }
        let reply = reply?;
        if let Some(joined) = self.joined.get_mut(member) {
            joined.subscriber = Some(handle);
        }
        self.said.push_back(Said::Offer { member, number: None, sdp: sdp_of(&reply)? });
        Ok(())
    }

    fn answer(&mut self, member: usize, _: Option<u64>, sdp: &str) -> anyhow::Result<()> {
        let handle =
            self.joined.get(member).and_then(|joined| joined.subscriber).context("no such subscriber")?;
        let jsep = json!({ "type": "answer", "sdp": sdp });
        self.message(handle, &json!({ "request": "start" }), Some(jsep)).map(drop)
    }

    fn poll(&mut self, _: Duration) -> anyhow::Result<Option<Said>> {
        Ok(self.said.pop_front())
    }
}

fn configure(folder: &Path, port: u16) -> anyhow::Result<()> {
    let main = format!(
        "general: {{\n configs_folder = \"{0}\"\n plugins_folder = \"{PLUGINS}/plugins\"\n \
         transports_folder = \"{PLUGINS}/transports\"\n events_folder = \"{PLUGINS}/events\"\n \
         loggers_folder = \"{PLUGINS}/loggers\"\n debug_level = 2\n event_loops = 1\n session_timeout = 0\n}}\n\
         media: {{\n ipv6 = false\n}}\n\
         nat: {{\n ice_lite = true\n ice_tcp = false\n ice_enforce_list = \"127.0.0.1\"\n}}\n",
        folder.display()
    );
    std::fs::write(folder.join("janus.jcfg"), main)?;
    let websockets = format!(
        "general: {{\n ws = true\n ws_port = {port}\n ws_ip = \"127.0.0.1\"\n wss = false\n}}\nadmin: {{\n admin_ws = false\n}}\n"
    );
    std::fs::write(folder.join("janus.transport.websockets.jcfg"), websockets)?;
    std::fs::write(folder.join("janus.plugin.videoroom.jcfg"), "general: {\n}\n")?;
    Ok(())
}

fn connect(port: u16) -> anyhow::Result<WebSocket<TcpStream>> {
    let mut request = format!("ws://127.0.0.1:{port}/").into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", "janus-protocol".parse()?);
    for _ in 0..TRIES {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_nodelay(true)?;
            let (socket, _) = tungstenite::client(request, stream).context("Janus takes no WebSocket")?;
            return Ok(socket);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("Janus does not answer")
}
