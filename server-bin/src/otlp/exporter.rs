//! Sends spans over HTTP in batches (OTLP 1, protobuf).
//!
//! Spans wait in a bounded queue. While the receiver is away, one batch is tried again until it is taken; the queue fills,
//! and what it does not hold is lost. Nobody waits for it but the end of the process, and that only for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::https;

/// How many spans wait at most.
const WAITING: usize = 2_048;
/// How many spans are sent together.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// A receiver that answers no sooner does not work.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The waits before a batch is sent again: doubled from the first up to the last.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The end of the queue that takes spans, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<Span>,
    lost: Arc<AtomicU64>,
}

/// The end of the queue that gives spans.
#[derive(Debug)]
pub(super) struct Waiting {
    spans: mpsc::Receiver<Span>,
    lost: Arc<AtomicU64>,
}

pub(super) fn queue() -> (Queue, Waiting) {
    let (sender, spans) = mpsc::channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    (Queue { spans: sender, lost: Arc::clone(&lost) }, Waiting { spans, lost })
}

impl Queue {
    /// Adds a span, unless the queue is full. Does not block.
    pub(super) fn push(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    Refused(StatusCode),
    /// It may be taken later.
    Away,
}

/// The task that sends.
pub(super) struct Exporter {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    to: Uri,
    resource: Resource,
    waiting: Waiting,
    is_failing: bool,
}

impl Exporter {
    pub(super) fn new(to: Uri, attributes: Vec<KeyValue>, waiting: Waiting) -> Result<Self, rustls::Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(https::client()?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Self { client, to, resource, waiting, is_failing: false })
    }

    /// Sends what comes until `closing`, and then what is left.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        loop {
            let batch = self.next_batch(&closing).await;
            if batch.is_empty() {
                return;
            }
            let body = self.encode(batch);
            self.deliver(body, &closing).await;
        }
    }

    /// The next spans; none if the queue is closed and empty.
    async fn next_batch(&mut self, closing: &CancellationToken) -> Vec<Span> {
        let spans = &mut self.waiting.spans;
        let mut batch = Vec::new();
        let gather = async {
            spans.recv_many(&mut batch, BATCH).await;
            let _ = tokio::time::timeout(LINGER, async {
                while batch.len() < BATCH && spans.recv_many(&mut batch, BATCH).await > 0 {}
            })
            .await;
        };
        tokio::select! {
            () = gather => {}
            () = closing.cancelled() => {
                spans.close();
                spans.recv_many(&mut batch, BATCH).await;
            }
        }
        batch
    }

    fn encode(&self, spans: Vec<Span>) -> Bytes {
        let scope = InstrumentationScope { name: "visavis".to_owned(), ..InstrumentationScope::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans,
            ..ResourceSpans::default()
        }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    /// Sends a batch until it is taken or refused for good; while `closing`, once.
    async fn deliver(&mut self, body: Bytes, closing: &CancellationToken) {
        let (mut wait, longest) = WAITS;
        loop {
            let is_last = closing.is_cancelled();
            let outcome = self.send(body.clone()).await;
            self.note(outcome);
            if outcome != Outcome::Away || is_last {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = closing.cancelled() => {}
            }
            wait = (2 * wait).min(longest);
        }
    }

    async fn send(&self, body: Bytes) -> Outcome {
        let request = Request::post(self.to.clone()).header(CONTENT_TYPE, "application/x-protobuf");
        let Ok(request) = request.body(Full::new(body)) else { return Outcome::Away };
        let status = match tokio::time::timeout(TIMEOUT, self.client.request(request)).await {
            Ok(Ok(response)) => response.status(),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a batch of traces was not sent");
                return Outcome::Away;
            }
            Err(_) => return Outcome::Away,
        };
        match status.as_u16() {
            200..=299 => Outcome::Taken,
            // The statuses after which the protocol allows another try.
            429 | 502 | 503 | 504 => Outcome::Away,
            _ => Outcome::Refused(status),
        }
    }

    /// Tells the log when the export begins to fail, and when it works again.
    fn note(&mut self, outcome: Outcome) {
        let failed = outcome != Outcome::Taken;
        if failed == std::mem::replace(&mut self.is_failing, failed) {
            return;
        }
        match outcome {
            Outcome::Taken => {
                let lost = self.waiting.lost.swap(0, Ordering::Relaxed);
                tracing::info!(lost, "traces are exported again");
            }
            Outcome::Refused(status) => {
                tracing::warn!(to = %self.to, status = status.as_u16(), "traces are refused: look at --otlp");
            }
            Outcome::Away => tracing::warn!(to = %self.to, "traces are not exported: look at --otlp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_queue_does_not_hold_is_lost_and_counted() {
        let (queue, mut waiting) = queue();
        for _ in 0..WAITING + 7 {
            queue.push(Span::default());
        }
        assert_eq!(waiting.lost.load(Ordering::Relaxed), 7);
        let left = std::iter::from_fn(|| waiting.spans.try_recv().ok()).count();
        assert_eq!(left, WAITING);
    }
}
