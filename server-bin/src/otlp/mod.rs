//! Traces by OpenTelemetry's protocol (OTLP).
//!
//! Each join is a trace. Its root is the span `join`, from the arrival of the request to the place in the room; its
//! children are the steps of the peer's connections to the media server, which [`sfu::Step`] lists. Their ids are derived
//! from the room and the peer, so no part of the server has to hand them to another. What is measured where it happens
//! passes through a bounded [`queue`](exporter::queue) to the task that sends it.

mod exporter;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use sfu::{Milestone, MilestoneObserver, Step};
use signaling_core::{PeerId, RoomId, Seat};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::routes;
use exporter::{Exporter, Queue};

/// How long the end of the process waits for the receiver.
const FAREWELL: Duration = Duration::from_secs(3);

/// The export of traces.
#[derive(Debug)]
pub(crate) struct Otlp {
    traces: Arc<Traces>,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

impl Otlp {
    /// Starts it on the current runtime, if the settings name a receiver.
    pub(crate) fn start(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &settings.otlp else { return Ok(None) };
        let (queue, waiting) = exporter::queue();
        let resource = vec![
            attribute("service.name", "visavis"),
            attribute("service.version", routes::version(settings)),
        ];
        let exporter = Exporter::new(endpoint.of_signal("traces"), resource, waiting)?;
        let closing = CancellationToken::new();
        let task = tokio::spawn(exporter.run(closing.clone()));
        Ok(Some(Self { traces: Arc::new(Traces { queue }), closing, task }))
    }

    pub(crate) fn traces(&self) -> Arc<Traces> {
        Arc::clone(&self.traces)
    }

    /// Sends what waits, and ends.
    pub(crate) async fn finish(self) {
        self.closing.cancel();
        if tokio::time::timeout(FAREWELL, self.task).await.is_err() {
            tracing::warn!("the last traces were not exported in time");
        }
    }
}

/// Makes spans of what the parts of the server report.
#[derive(Debug)]
pub(crate) struct Traces {
    queue: Queue,
}

impl Traces {
    /// A client has joined whose request had arrived at this time.
    pub(crate) fn joined(&self, seat: &Seat, arrived: Instant) {
        let ids = TraceIds::of(&seat.room, seat.peer);
        let [start, end] = unix_nanos([arrived, clock::now()]);
        self.queue.push(Span {
            trace_id: ids.trace.to_vec(),
            span_id: ids.root.to_vec(),
            name: "join".to_owned(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: place(&seat.room, seat.peer),
            ..Span::default()
        });
    }
}

impl MilestoneObserver for Traces {
    fn reached(&self, room: &RoomId, peer: PeerId, milestone: Milestone) {
        let Milestone { step, publishes, from, at } = milestone;
        let ids = TraceIds::of(room, peer);
        let [start, end] = unix_nanos([from, at]);
        let mut id = [0; 8];
        if aws_lc_rs::rand::fill(&mut id).is_err() {
            return;
        }
        let mut attributes = place(room, peer);
        attributes.push(attribute("visavis.direction", if publishes { "publish" } else { "subscribe" }));
        self.queue.push(Span {
            trace_id: ids.trace.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: ids.root.to_vec(),
            name: name(step).to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            ..Span::default()
        });
    }
}

/// The name of a step's span.
fn name(step: Step) -> &'static str {
    match step {
        Step::Negotiated => "media.negotiate",
        Step::PathFound => "media.ice",
        Step::Secured => "media.dtls",
        Step::FirstPicture => "media.first-picture",
    }
}

/// The ids of a join's trace and of its root span.
struct TraceIds {
    trace: [u8; 16],
    root: [u8; 8],
}

impl TraceIds {
    fn of(room: &RoomId, peer: PeerId) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("trace {room} {peer}").as_bytes());
        let mut bytes = hash.as_ref().iter().copied();
        let mut next = || bytes.next().unwrap_or_default();
        Self { trace: std::array::from_fn(|_| next()), root: std::array::from_fn(|_| next()) }
    }
}

/// The attributes that say whose span it is.
fn place(room: &RoomId, peer: PeerId) -> Vec<KeyValue> {
    vec![attribute("visavis.room", room.to_string()), attribute("visavis.peer", peer.to_string())]
}

fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// The begin and the end of a span by the wall clock, which is read once for both.
fn unix_nanos(times: [Instant; 2]) -> [u64; 2] {
    let (wall, now) = (clock::wall(), clock::now());
    times.map(|at| {
        let since = wall.saturating_sub(now.saturating_duration_since(at));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
