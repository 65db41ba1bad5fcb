//! The way of clients to the page: through `--public-url`, with whatever is in front of the server.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, DATE, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;
use signaling_core::message::Cause;

use super::Finding;
use crate::config::Settings;
use crate::https;

/// How long an answer may take, and the first event of a stream.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a welcome has.
const WELCOME_BYTES: usize = 256 * 1_024;
/// Clocks may differ by this much, in seconds.
const CLOCK_SECONDS: i64 = 60;

pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let Some(url) = &settings.public_url else {
        return vec![Finding::unknown(
            "public-url",
            "none is set, so that nothing is known of a proxy in front",
        )];
    };
    let page = match Page::new(&url.to_string()) {
        Ok(page) => page,
        Err(error) => {
            return vec![Finding::wrong(
                "public-url",
                error.to_string(),
                "look at the machine's certificate authorities",
            )];
        }
    };
    let (is_there, finding) = page.reach().await;
    let mut findings = vec![finding];
    if is_there {
        findings.push(page.upgrade().await);
        findings.push(page.events().await);
        findings.extend(page.clock().await);
    }
    findings
}

/// The page, as clients reach it.
struct Page {
    url: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The parts of a welcome that a stream needs.
#[derive(Deserialize)]
struct Welcome {
    session: String,
    secret: String,
}

impl Page {
    fn new(url: &str) -> Result<Self, rustls::Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(https::client()?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).map_err(Failure::Request)?;
        let responding = tokio::time::timeout(PATIENCE, self.client.request(request));
        responding.await.map_err(|_| Failure::Late)?.map_err(Failure::Connection)
    }

    /// Whether the server is behind the URL.
    async fn reach(&self) -> (bool, Finding) {
        const CHECK: &str = "public-url";
        let url = &self.url;
        let answer = match self.ask(Method::GET, "/version", &[], "").await {
            Ok(answer) => answer,
            Err(failure) => return (false, failure.finding(CHECK, url)),
        };
        let status = answer.status();
        let body =
            answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_ours = serde_json::from_slice::<serde_json::Value>(&body)
            .is_ok_and(|about| about.get("name").is_some_and(|name| name == "visavis"));
        let finding = if status == StatusCode::OK && is_ours {
            Finding::fine(CHECK, format!("the server answers at {url}"))
        } else {
            Finding::wrong(
                CHECK,
                format!("what answers at {url} is not this server (status {status})"),
                "look at where the proxy forwards to, and whether it keeps the path",
            )
        };
        (is_ours, finding)
    }

    async fn upgrade(&self) -> Finding {
        const CHECK: &str = "websocket";
        let headers = [
            (CONNECTION.as_str(), "Upgrade"),
            (UPGRADE.as_str(), "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "ZG9jdG9yZG9jdG9yZG9jdA=="),
            ("Sec-WebSocket-Protocol", "visavis.v1"),
        ];
        match self.ask(Method::GET, "/api/v1/ws", &headers, "").await.map(|answer| answer.status()) {
            Ok(StatusCode::SWITCHING_PROTOCOLS) => Finding::fine(CHECK, "upgrades come through"),
            Ok(StatusCode::NOT_FOUND) => Finding::unknown(CHECK, "--transports has no websocket"),
            Ok(status) => Finding::wrong(
                CHECK,
                format!("an upgrade is answered with {status}"),
                "have the proxy pass the headers Upgrade and Connection on: deploy/proxies has examples",
            ),
            Err(failure) => failure.finding(CHECK, &self.url),
        }
    }

    async fn events(&self) -> Finding {
        const CHECK: &str = "events";
        let join = json!({ "type": "join", "room": format!("doctor-{}", std::process::id()), "name": "doctor", "topology": "mesh" });
        let json = [("Content-Type", "application/json")];
        let joined = match self.ask(Method::POST, "/api/v1/sessions", &json, &join.to_string()).await {
            Ok(joined) => joined,
            Err(failure) => return failure.finding(CHECK, &self.url),
        };
        if joined.status() != StatusCode::CREATED {
            return Finding::unknown(
                CHECK,
                format!("a room is not opened to a stranger (status {})", joined.status()),
            );
        }
        let body = http_body_util::Limited::new(joined.into_body(), WELCOME_BYTES).collect().await;
        let welcome = body.ok().and_then(|body| serde_json::from_slice::<Welcome>(&body.to_bytes()).ok());
        let Some(Welcome { session, secret }) = welcome else {
            return Finding::wrong(
                CHECK,
                "the answer to a join is not the server's",
                "look at what the proxy changes",
            );
        };
        let bearer = format!("Bearer {secret}");
        let credentials = [("Authorization", bearer.as_str())];
        let place = format!("/api/v1/sessions/{session}");
        let stream = self.ask(Method::GET, &format!("{place}/events"), &credentials, "").await;
        let first = match stream {
            Ok(stream) => tokio::time::timeout(PATIENCE, stream.into_body().frame()).await.ok().flatten(),
            Err(Failure::Late) => None,
            Err(failure) => return failure.finding(CHECK, &self.url),
        };
        // The session ends by itself otherwise.
        let _ = self.ask(Method::DELETE, &place, &credentials, "").await;
        match first {
            Some(Ok(_)) => Finding::fine(CHECK, "the first event comes at once"),
            _ => Finding::wrong(
                CHECK,
                format!("no event within {} seconds", PATIENCE.as_secs()),
                "have the proxy pass responses on without buffering: deploy/proxies has examples",
            ),
        }
    }

    /// Compares the clock of what answers with this machine's.
    async fn clock(&self) -> Option<Finding> {
        const CHECK: &str = "public-clock";
        let answer = self.ask(Method::GET, "/livez", &[], "").await.ok()?;
        let date = answer.headers().get(DATE)?.to_str().ok()?;
        let there = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
        let ahead = there - i64::try_from(clock::wall().as_secs()).ok()?;
        Some(if ahead.abs() > CLOCK_SECONDS {
            Finding::wrong(
                CHECK,
                format!("what answers at {} differs by {ahead} seconds", self.url),
                "let NTP keep both clocks",
            )
            .because(Cause::ClockOff)
        } else {
            Finding::fine(CHECK, "the clocks agree")
        })
    }
}

/// Why there is no answer.
enum Failure {
    Request(http::Error),
    Late,
    Connection(Error),
}

impl Failure {
    fn finding(&self, check: &'static str, url: &str) -> Finding {
        match self {
            Self::Request(error) => Finding::wrong(check, error.to_string(), "look at --public-url"),
            Self::Late => Finding::wrong(
                check,
                format!("{url} does not answer"),
                "look at the name, the firewall and the proxy",
            )
            .because(Cause::ServerUnreachable),
            Self::Connection(error) => {
                let why = innermost(error);
                let is_expired = why.contains("Expired") || why.contains("expired");
                let (remedy, cause) = if is_expired {
                    ("renew the certificate of what answers there", Cause::CertificateExpired)
                } else if why.contains("certificate") {
                    (
                        "browsers do not trust what answers there either: look at its certificate",
                        Cause::Unknown,
                    )
                } else {
                    ("look at the name, the firewall and the proxy", Cause::ServerUnreachable)
                };
                let finding = Finding::wrong(check, format!("{url} cannot be reached ({why})"), remedy);
                if cause == Cause::Unknown { finding } else { finding.because(cause) }
            }
        }
    }
}

/// The last reason of an error, which is the most exact one.
fn innermost(error: &Error) -> String {
    let mut last = error.source();
    while let Some(deeper) = last.and_then(std::error::Error::source) {
        last = Some(deeper);
    }
    last.map_or_else(|| error.to_string(), ToString::to_string)
}
