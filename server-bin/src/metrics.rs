//! Metrics of the server, in the text format of Prometheus, on a separate listener.
//!
//! No label has values that a client can choose.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;
use signaling_core::Watch;
use signaling_transport::net::{Server, ServerConfig};
use signaling_transport::{CauseCounts, Hub};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::{logging, process_use};

/// The sources of the metrics.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) hub: Hub,
    pub(crate) causes: Arc<CauseCounts>,
    pub(crate) media: Option<sfu::Handle>,
    pub(crate) turn: Option<stun_turn::Handle>,
    pub(crate) health: Arc<Health>,
    pub(crate) version: String,
}

/// Serves `/metrics` on `address` until `ending`.
pub(crate) fn serve(
    address: SocketAddr,
    sources: Sources,
    ending: CancellationToken,
    watch: &Watch,
) -> anyhow::Result<()> {
    let server = Server::bind(address, ServerConfig::default())
        .with_context(|| format!("cannot serve metrics on {address}: look at --metrics-listen"))?;
    tracing::info!(addr = %server.local_addr(), "metrics ready");
    let router = Router::new().route("/metrics", get(metrics)).with_state(sources);
    tokio::spawn(watch.engine("metrics").run(server.serve(router, ending, Duration::ZERO)));
    Ok(())
}

async fn metrics(State(sources): State<Sources>) -> impl IntoResponse {
    let mut page = Page::default();
    page.labelled("visavis_build_info", "What runs here.", &[("version", &sources.version)]);
    page.gauge(
        "visavis_draining",
        "1 while the server is about to end.",
        sources.health.draining.is_cancelled().into(),
    );
    page.gauge(
        "visavis_ready",
        "1 while the server accepts new work, as /readyz tells.",
        sources.health.unready().is_none().into(),
    );
    page.counter(
        "visavis_log_lines_lost_total",
        "Log lines that the standard error did not take.",
        logging::lines_lost(),
    );
    process(&mut page);
    signaling(&mut page, &sources.hub).await;
    page.by_cause("visavis_causes_total", "Failures that clients have reported.", &sources.causes);
    if let Some(media) = &sources.media {
        media_server(&mut page, &media.metrics());
    }
    if let Some(turn) = &sources.turn {
        relay(&mut page, &turn.metrics());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.0)
}

fn process(page: &mut Page) {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    page.gauge("visavis_cores", "Cores that the process may use.", cores);
    if let Some(cpu) = process_use::cpu() {
        let (name, help) = ("process_cpu_seconds_total", "Processor time of the process.");
        page.metric(name, "counter", help, "", format_args!("{:.2}", cpu.as_secs_f64()));
    }
    if let Some(bytes) = process_use::resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Resident memory of the process.", bytes);
    }
}

async fn signaling(page: &mut Page, hub: &Hub) {
    let census = hub.census().await;
    page.gauge("visavis_rooms", "Rooms.", census.rooms as u64);
    page.gauge("visavis_peers", "Peers in rooms, viewers aside.", census.peers as u64);
    page.gauge("visavis_viewers", "Viewers in rooms.", census.viewers as u64);
    page.counter(
        "visavis_connections_opened_total",
        "Connections that were opened for sessions.",
        hub.connections_opened(),
    );
}

fn media_server(page: &mut Page, metrics: &sfu::Metrics) {
    page.gauge("visavis_sfu_rooms", "Rooms with media in the SFU.", metrics.rooms);
    page.gauge("visavis_sfu_peers", "Peers in the SFU.", metrics.peers);
    page.gauge("visavis_sfu_transports", "Peer connections of the SFU.", metrics.transports);
    page.gauge("visavis_sfu_publications", "Tracks published to the SFU.", metrics.publications);
    page.gauge("visavis_sfu_subscriptions", "Tracks that the SFU hands on.", metrics.subscriptions);
    page.gauge("visavis_sfu_tcp_connections", "TCP connections that carry media.", metrics.streams);
    page.counter("visavis_sfu_received_datagrams_total", "Datagrams to the SFU.", metrics.datagrams_received);
    page.counter("visavis_sfu_received_bytes_total", "Bytes to the SFU.", metrics.bytes_received);
    page.counter("visavis_sfu_sent_datagrams_total", "Datagrams from the SFU.", metrics.datagrams_sent);
    page.counter("visavis_sfu_sent_bytes_total", "Bytes from the SFU.", metrics.bytes_sent);
    page.counter(
        "visavis_sfu_expired_datagrams_total",
        "Datagrams for slow TCP connections that became too old to send.",
        metrics.datagrams_expired,
    );
}

fn relay(page: &mut Page, metrics: &stun_turn::Metrics) {
    let counters = &metrics.counters;
    page.gauge("visavis_turn_allocations", "Relays.", counters.allocations);
    page.gauge("visavis_turn_connections", "Streams and DTLS associations of TURN.", metrics.connections);
    for (name, help, value) in [
        ("allocations_created", "Relays made.", counters.allocations_created),
        ("allocations_expired", "Relays that nobody refreshed.", counters.allocations_expired),
        ("binding_requests", "Binding requests answered.", counters.binding_requests),
        ("success_responses", "Requests granted.", counters.success_responses),
        ("error_responses", "Requests refused, challenges aside.", counters.error_responses),
        ("challenges", "Requests that were asked for credentials.", counters.challenges),
        ("wrong_credentials", "Requests with wrong credentials.", counters.wrong_credentials),
        ("rate_limited", "Requests of strangers who asked too often.", counters.rate_limited),
        ("packets_to_peers", "Packets relayed to peers.", counters.packets_to_peers),
        ("bytes_to_peers", "Bytes relayed to peers.", counters.bytes_to_peers),
        ("packets_to_clients", "Packets relayed to clients.", counters.packets_to_clients),
        ("bytes_to_clients", "Bytes relayed to clients.", counters.bytes_to_clients),
        ("packets_in_process", "Packets that needed no socket in between.", counters.packets_in_process),
        ("dropped_without_permission", "Packets nobody permitted.", counters.dropped_without_permission),
        ("dropped_by_policy", "Packets to denied addresses.", counters.dropped_by_policy),
        ("dropped_by_bandwidth", "Packets over a relay's bandwidth.", counters.dropped_by_bandwidth),
        ("malformed", "Messages that made no sense.", counters.malformed),
        ("datagrams_dropped", "Datagrams that the system did not take.", metrics.datagrams_dropped),
    ] {
        page.counter(&format!("visavis_turn_{name}_total"), help, value);
    }
}

/// The response body.
#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, "gauge", help, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, "counter", help, "", value);
    }

    /// A gauge with the value 1 that carries information in its labels.
    fn labelled(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        let quoted = labels.iter().map(|(label, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{label}=\"{value}\"")
        });
        self.metric(name, "gauge", help, &format!("{{{}}}", quoted.collect::<Vec<_>>().join(",")), 1_u64);
    }

    /// A counter with a value for each cause. Their number is fixed.
    fn by_cause(&mut self, name: &str, help: &str, causes: &CauseCounts) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} counter");
        for (cause, count) in causes.all() {
            let _ = writeln!(self.0, "{name}{{cause=\"{cause}\"}} {count}");
        }
    }

    fn metric(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn numbers_stand_as_prometheus_reads_them() {
        let mut page = Page::default();
        page.gauge("a_b", "Some.", 3);
        page.labelled("info", "This.", &[("version", "1\"\\\n2")]);
        let lines: Vec<&str> = page.0.lines().collect();
        assert_eq!(lines[..3], ["# HELP a_b Some.", "# TYPE a_b gauge", "a_b 3"]);
        assert_eq!(lines[5], "info{version=\"1\\\"\\\\\\n2\"} 1");
    }
}
