//! Requests to the server, each over a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::fields::millis;
use crate::{Error, Server};

/// The largest answer that is read whole.
const ANSWER_BYTES: usize = 4 << 20;
/// How long an answer is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) bearer: Option<&'a str>,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// The type of the body, and the body.
    pub(crate) body: Option<(&'static str, String)>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, url: Url, bearer: Option<&'a str>) -> Self {
        Self { method, url, bearer, headers: Vec::new(), body: None }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self { body: Some(("application/json", body.to_string())), ..self }
    }
}

/// An answer that has been read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON, unless the server has refused.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.body).map_err(|error| Error::Protocol(error.to_string()))
    }

    /// The refusal, if it is one.
    pub(crate) fn check(self) -> Result<Self, Error> {
        if self.status.is_success() { Ok(self) } else { Err(problem(self.status, &self.headers, &self.body)) }
    }
}

/// A problem (RFC 9457) as an error.
pub(crate) fn problem(status: StatusCode, headers: &HeaderMap, body: &str) -> Error {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
    let seconds = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    Error::Refused {
        code: text("code").unwrap_or_else(|| status.as_u16().to_string()),
        message: text("detail").or_else(|| text("title")).unwrap_or_else(|| status.to_string()),
        retry_after: millis(&said, "retryAfterMs").or_else(|| seconds.map(Duration::from_secs)),
    }
}

impl Server {
    /// Sends a request, and returns the head of the answer with a body to be read.
    pub(crate) async fn open(&self, ask: Ask<'_>) -> Result<Response<Incoming>, Error> {
        let stream = self.connect().await?;
        let path = ask
            .url
            .query()
            .map_or_else(|| ask.url.path().to_owned(), |query| format!("{}?{query}", ask.url.path()));
        let mut request = Request::builder().method(ask.method).uri(path).header(HOST, self.authority());
        if let Some(bearer) = ask.bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {bearer}")).map_err(Error::connection)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let (kind, body) = ask.body.unzip();
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request =
            request.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(Error::connection)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Error::connection)?;
        // It ends with the body of the answer.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(Error::connection)
    }

    /// Sends a request, and reads the answer whole.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        timeout(PATIENCE, self.whole_answer(ask)).await.map_err(|_| Error::silence())?
    }

    async fn whole_answer(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        let (head, body) = self.open(ask).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(Error::connection)?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
