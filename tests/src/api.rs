//! The HTTP interface for other applications, as curl would ask it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::client::{FAR_TOO_LONG, connect_for};
use crate::http::{Answer, ask};
use crate::process::{Visavis, run};

/// Who asks: a server's address, and what is shown there.
#[derive(Clone, Debug)]
pub struct Api {
    addr: SocketAddr,
    bearer: Option<String>,
    patience: Duration,
}

impl Api {
    /// Somebody with nothing to show.
    pub fn anonymous(addr: SocketAddr) -> Self {
        Self { addr, bearer: None, patience: FAR_TOO_LONG }
    }

    /// Somebody with a key of these scopes, made while the server runs, with its arguments.
    pub fn with_key(server: &Visavis, scopes: &[&str], arguments: &[&str]) -> Self {
        let mut line = vec!["api-key", "create"];
        for scope in scopes {
            line.extend(["--scope", scope]);
        }
        line.extend(arguments);
        let made = run(server.folder().path(), &line, &[]);
        assert!(made.status.success(), "{made:?}");
        let key = String::from_utf8(made.stdout).unwrap();
        assert!(key.starts_with("vsk_") && key.ends_with('\n'), "{key}");
        Self::with_bearer(server.addr, key.trim())
    }

    /// Somebody with this bearer.
    pub fn with_bearer(addr: SocketAddr, bearer: &str) -> Self {
        Self { addr, bearer: Some(bearer.to_owned()), patience: FAR_TOO_LONG }
    }

    /// The same person at another server.
    #[must_use]
    pub fn at(&self, addr: SocketAddr) -> Self {
        Self { addr, ..self.clone() }
    }

    /// The same person, who waits no longer for an answer.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Any request. A body goes as JSON.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let addr = self.addr;
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
        if let Some(bearer) = &self.bearer {
            write!(request, "authorization: Bearer {bearer}\r\n").unwrap();
        }
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        if let Some(body) = body {
            write!(request, "content-type: application/json\r\ncontent-length: {}\r\n", body.len()).unwrap();
        }
        ask(connect_for(addr, self.patience), &format!("{request}\r\n{}", body.unwrap_or_default()))
    }

    /// `GET`
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    /// `POST`
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], Some(&body.to_string()))
    }

    /// Books a meeting: a title, a zone and half an hour, unless `more` says otherwise.
    pub fn book(&self, more: &Value) -> Value {
        let answer = self.post("/api/v1/meetings", &wanted(more));
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()
    }
}

/// Looks until it is so. Long after everything that a scenario waits for it is a failure.
pub fn until(what: &str, mut look: impl FnMut() -> bool) {
    let mut looks = 0_u32;
    while !look() {
        looks += 1;
        assert!(looks < 3_000, "waited in vain for: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// What [`Api::book`] asks for.
pub fn wanted(more: &Value) -> Value {
    let mut wanted =
        serde_json::json!({"title": "Standup", "timeZone": "Europe/Berlin", "durationMinutes": 30});
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    wanted
}

/// The host token of a meeting.
pub fn host_token(meeting: &Value) -> &str {
    meeting["hostUrl"].as_str().unwrap().split_once("#host=").unwrap().1
}
