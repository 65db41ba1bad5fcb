//! A receiver of webhooks.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A message received by a webhook receiver.
#[derive(Debug)]
pub struct Hook {
    /// Its headers, by lower-case names.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: String,
    connection: TcpStream,
}

impl Hook {
    /// The type of the event.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Answers with this status line.
    pub fn answer(mut self, head: &str) {
        // A sender that has timed out does not read it.
        let _ = write!(self.connection, "HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }

    /// Whether a signature is by this secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let bytes = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let signed =
            format!("{}.{}.{}", self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), signed.as_bytes());
        let wanted = format!("v1,{}", STANDARD.encode(tag));
        self.headers["webhook-signature"].split(' ').any(|one| one == wanted)
    }
}

/// A receiver on loopback.
#[derive(Debug)]
pub struct Receptionist {
    addr: SocketAddr,
    hooks: Receiver<Hook>,
}

impl Receptionist {
    /// Starts receiving on a free port.
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, hooks) = sync_channel(1_000);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                let sender = sender.clone();
                thread::spawn(move || {
                    if let Some(hook) = read(connection) {
                        let _ = sender.send(hook);
                    }
                });
            }
        });
        Self { addr, hooks }
    }

    /// Where it receives.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// The next message.
    pub fn next(&self) -> Hook {
        self.hooks.recv_timeout(Duration::from_mins(1)).unwrap()
    }
}

fn read(connection: TcpStream) -> Option<Hook> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut headers = HashMap::new();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        line.clear();
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Hook { headers, body: String::from_utf8(body).ok()?, connection })
}
