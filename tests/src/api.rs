//! The HTTP interface for other applications, as used by curl.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::client::{FAR_TOO_LONG, connect_for};
use crate::http::{Answer, ask, try_request};
use crate::process::{Visavis, run};

/// An API client: a server's address, and a bearer.
#[derive(Clone, Debug)]
pub struct Api {
    addr: SocketAddr,
    bearer: Option<String>,
    patience: Duration,
}

impl Api {
    /// A client without a bearer.
    pub fn anonymous(addr: SocketAddr) -> Self {
        Self { addr, bearer: None, patience: FAR_TOO_LONG }
    }

    /// A client with a key of these scopes, created while the server runs, with these arguments.
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

    /// A client with this bearer.
    pub fn with_bearer(addr: SocketAddr, bearer: &str) -> Self {
        Self { addr, bearer: Some(bearer.to_owned()), patience: FAR_TOO_LONG }
    }

    /// The bearer; panics for a client without one.
    pub fn bearer(&self) -> &str {
        self.bearer.as_deref().unwrap()
    }

    /// The same client at another server.
    #[must_use]
    pub fn at(&self, addr: SocketAddr) -> Self {
        Self { addr, ..self.clone() }
    }

    /// The same client with a shorter time limit for responses.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Sends any request. A body is sent as JSON.
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

    /// As [`ask`](Self::ask), of a server that may end meanwhile: `None` unless all of its response has arrived.
    pub fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Option<Answer> {
        let bearer = self.bearer.as_ref().map(|bearer| format!("Bearer {bearer}"));
        let mut all = headers.to_vec();
        all.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        all.extend(body.map(|_| ("content-type", "application/json")));
        try_request(self.addr, method, path, &all, body.map(str::as_bytes))
    }

    /// `GET`
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    /// `POST`
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], Some(&body.to_string()))
    }

    /// Books a meeting: a title, a time zone and half an hour, unless `more` says otherwise.
    pub fn book(&self, more: &Value) -> Value {
        let answer = self.post("/api/v1/meetings", &wanted(more));
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()
    }
}

/// Polls until the condition holds. Fails long after any expected wait.
pub fn until(what: &str, mut look: impl FnMut() -> bool) {
    let mut looks = 0_u32;
    while !look() {
        looks += 1;
        assert!(looks < 3_000, "waited in vain for: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The booking request of [`Api::book`].
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

/// RFC 3339, this many seconds from now.
pub fn in_seconds(seconds: i64) -> String {
    #[allow(clippy::disallowed_methods, reason = "meetings are booked by the server's clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = i64::try_from(now).unwrap() + seconds;
    let days = at.div_euclid(86_400);
    let (hour, minute, second) =
        (at.rem_euclid(86_400) / 3_600, at.rem_euclid(3_600) / 60, at.rem_euclid(60));
    // Converts days since 1970 to a date (Howard Hinnant's algorithm).
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
