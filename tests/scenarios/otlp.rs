//! Traces of joins, as a receiver of OTLP over HTTP gets them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails here fails the test"
)]

#[allow(dead_code, reason = "shared with another test")]
#[path = "soak/media.rs"]
mod media;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use media::Broadcast;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use sfu::dtls::Identity;
use tests::Visavis;
use tests::client::Ws;

/// A wait of this length means that what is waited for will not come.
const FAR_TOO_LONG: Duration = Duration::from_mins(5);

const STEPS: [&str; 5] = ["join", "media.dtls", "media.first-picture", "media.ice", "media.negotiate"];

/// A receiver of traces that answers the first requests with these statuses, and the others with 200.
struct Collector {
    url: String,
    spans: Receiver<Span>,
}

impl Collector {
    fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, spans) = sync_channel(1_000);
        thread::spawn(move || {
            let mut statuses = statuses.iter().copied();
            for connection in listener.incoming() {
                // One after the other: the server has one task that sends.
                let _ = serve(&connection.unwrap(), &mut statuses, &sender);
            }
        });
        Self { url, spans }
    }

    fn next(&self) -> Span {
        self.spans.recv().unwrap()
    }
}

/// Serves the one request of a connection.
fn serve(
    connection: &TcpStream,
    statuses: &mut impl Iterator<Item = u16>,
    spans: &SyncSender<Span>,
) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let (mut head, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
        head.push(std::mem::take(&mut line).trim().to_ascii_lowercase());
    }
    assert_eq!(head.first()?, "post /v1/traces http/1.1");
    assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let status = statuses.next().unwrap_or(200);
    if status == 200 {
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        for resource in request.resource_spans {
            let sender = resource.resource.unwrap();
            let attributes = attributes(&sender.attributes);
            assert_eq!(attributes["service.name"], "visavis");
            assert_eq!(attributes["service.version"], env!("CARGO_PKG_VERSION"));
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let _ = spans.send(span);
            }
        }
    }
    let mut connection = connection;
    write!(connection, "HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()
}

fn attributes<'a>(pairs: &'a [KeyValue]) -> BTreeMap<&'a str, &'a str> {
    let text = |pair: &'a KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.as_str(),
        other => panic!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.as_str(), text(pair))).collect()
}

/// The spans of a trace by name.
type Trace = BTreeMap<String, Span>;

/// Whether a trace has every step, each as it should be.
fn is_complete(trace: &Trace) -> bool {
    if trace.len() < STEPS.len() {
        return false;
    }
    assert!(trace.keys().eq(STEPS.iter()), "{trace:?}");
    let root = &trace["join"];
    assert!(root.parent_span_id.is_empty());
    let whose = attributes(&root.attributes);
    assert_eq!(whose["visavis.room"], "stage");
    let ids: BTreeSet<_> = trace.values().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), trace.len());
    let mut directions = BTreeSet::new();
    for (name, span) in trace {
        assert!((span.trace_id.len(), span.span_id.len()) == (16, 8) && span.start_time_unix_nano > 0);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        let mut attributes = attributes(&span.attributes);
        if name != "join" {
            assert_eq!(span.parent_span_id, root.span_id);
            directions.insert(attributes.remove("visavis.direction").unwrap());
        }
        // Nothing but these, and so no secrets.
        assert_eq!(attributes, whose);
    }
    assert_eq!(directions.len(), 1);
    true
}

#[test]
fn the_trace_of_a_join_is_complete() {
    let collector = Collector::start(&[]);
    let server = Visavis::start(&["--otlp", &collector.url]);
    let identity = Identity::generate().unwrap();
    let broadcast = Broadcast::begin(server.addr, "stage", &identity);
    let mut traces: BTreeMap<Vec<u8>, Trace> = BTreeMap::new();
    // A publisher and two viewers; of the host, who has no media, there is the join alone.
    while traces.len() < 4 || traces.values().filter(|trace| is_complete(trace)).count() < 3 {
        let span = collector.next();
        let trace = traces.entry(span.trace_id.clone()).or_default();
        let earlier = trace.insert(span.name.clone(), span.clone());
        // A batch whose answer was late is sent again.
        assert!(earlier.is_none_or(|earlier| earlier == span), "{trace:?}");
    }
    let of_host = traces.values().find(|trace| trace.len() == 1).unwrap();
    assert!(of_host.contains_key("join"));
    let directions = traces.values().filter_map(|trace| trace.get("media.dtls"));
    let directions: Vec<_> =
        directions.map(|span| attributes(&span.attributes)["visavis.direction"]).collect();
    assert_eq!(directions.iter().filter(|direction| **direction == "publish").count(), 1, "{directions:?}");
    broadcast.end(server.addr, 0);
}

#[test]
fn a_receiver_that_is_away_gets_them_later() {
    let collector = Collector::start(&[503, 429]);
    let server = Visavis::start(&["--otlp", &collector.url]);
    let (_ada, _) = Ws::join(server.addr, "standup", "Ada");
    server.logged("traces are not exported: look at --otlp");
    assert_eq!(collector.next().name, "join");
    server.logged("traces are exported again");
}

#[test]
fn the_end_of_the_server_sends_what_waits() {
    let collector = Collector::start(&[]);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let variable = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    let server = Visavis::start_with(folder, &[], &variable);
    let (ada, _) = Ws::join(server.addr, "standup", "Ada");
    drop(ada);
    server.terminate();
    assert!(server.wait().0.success());
    assert_eq!(collector.next().name, "join");
}

#[test]
fn a_receiver_that_never_answers_stops_neither_calls_nor_the_end() {
    // Connections are made, and nobody reads what they carry.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let server = Visavis::start(&["--otlp", &url]);
    let (_ada, _) = Ws::join(server.addr, "standup", "Ada");
    let _waits = silent.accept().unwrap();
    let (_bob, _) = Ws::join(server.addr, "standup", "Bob");
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success());
    assert!(log.iter().any(|event| event["message"] == "the last traces were not exported in time"));
}
