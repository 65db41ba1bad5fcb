//! What the event loops of a server share with each other and with its handles.

use std::time::Duration;

use super::config::Heartbeat;
use super::connections::Connections;
use super::flow::FlowBudget;
use super::inbox::Inbox;
use super::metrics::ShardMetrics;
use super::ports::PortPool;

/// The state that more than one thread of a server uses.
pub(super) struct ServerState {
    pub(super) inboxes: Vec<Inbox>,
    pub(super) ports: PortPool,
    pub(super) metrics: Vec<ShardMetrics>,
    pub(super) connections: Connections,
    pub(super) max_wait: Duration,
    pub(super) flows: FlowBudget,
    pub(super) heartbeat: Option<Heartbeat>,
}
