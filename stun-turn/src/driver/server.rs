//! A server: its sockets are opened, then its shards run.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::thread;

use aws_lc_rs::rand;
use rustix::process::{Resource, getrlimit};

use super::clock;
use super::config::{Config, Listener};
use super::connections::Connections;
use super::context::server_context;
use super::error::BindError;
use super::event_loop::{EventLoop, Parts};
use super::flow::FlowBudget;
use super::handle::Handle;
use super::inbox::Inbox;
use super::listeners::{AnySocket, StreamListener, UdpListener, open_listeners};
use super::metrics::ShardMetrics;
use super::ports::PortPool;
use super::server_state::ServerState;
use super::tls::TlsContext;
use crate::directory::RelayDirectory;
use crate::shard::Shard;

/// A STUN and TURN server whose sockets are open.
#[derive(Debug)]
pub struct Server {
    event_loops: Vec<EventLoop>,
    handle: Handle,
}

impl Server {
    /// Opens the sockets.
    ///
    /// # Errors
    ///
    /// When an address can't be listened on, or the certificate cannot be used.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        if config.relay_ports.is_empty() {
            return Err(BindError::NoRelayPorts);
        }
        let tls = config.certificate.as_ref().map(TlsContext::new).transpose()?.unwrap_or_default();
        let shards = shard_count(config);
        let sockets = open_listeners(config, &tls, shards)?;
        let listeners: Arc<[Listener]> = sockets.iter().map(|group| group.listener).collect();
        let directory = Arc::new(RelayDirectory::default());
        let context = server_context(config, &listeners, directory.clone()).map_err(BindError::System)?;
        let server = server_state(config, shards, directory.clone()).map_err(BindError::System)?;
        let handle = Handle { server: server.clone(), directory, listeners };
        let mut groups: Vec<_> = sockets.into_iter().map(|group| (group.listener, group.sockets)).collect();
        let mut event_loops = Vec::new();
        for index in 0..shards {
            let (mut udp, mut tcp) = (Vec::new(), Vec::new());
            for (listener, sockets) in &mut groups {
                let transport = listener.transport;
                match sockets.pop() {
                    Some(AnySocket::Udp(socket)) => {
                        udp.push(UdpListener {
                            socket,
                            local: listener.address,
                            transport,
                            is_shared: false,
                        });
                    }
                    Some(AnySocket::SharedUdp(socket)) => {
                        udp.push(UdpListener { socket, local: listener.address, transport, is_shared: true });
                    }
                    Some(AnySocket::Tcp(socket)) => tcp.push(StreamListener { socket, transport }),
                    None => {}
                }
            }
            let seed = random_u64().map_err(BindError::System)?;
            let shard = Shard::new(context.clone(), index, clock::now(), clock::unix_time(), seed);
            let parts = Parts {
                index,
                shard,
                server: server.clone(),
                media: config.media.clone(),
                limits: config.limits.clone(),
                tls: tls.clone(),
                udp,
                tcp,
                random: random_u64().map_err(BindError::System)?,
            };
            event_loops.push(EventLoop::new(parts).map_err(BindError::System)?);
        }
        Ok(Self { event_loops, handle })
    }

    /// What speaks to the server while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.event_loops.len()
    }

    /// The shards, each to be run on a thread of its own.
    pub fn into_event_loops(self) -> Vec<EventLoop> {
        self.event_loops
    }

    /// Runs a thread for each shard until [`Handle::stop`], and waits for them.
    ///
    /// # Errors
    ///
    /// When a shard fails or panics; the others are stopped then.
    pub fn run(self) -> io::Result<()> {
        let mut threads = Vec::new();
        for (index, event_loop) in self.event_loops.into_iter().enumerate() {
            // One shard does not go on without the others: a part of the clients would be left without an answer.
            let stop = StopOnDrop(self.handle.clone());
            let run = move || {
                let _stop = stop;
                event_loop.run()
            };
            threads.push(thread::Builder::new().name(format!("relay-{index}")).spawn(run)?);
        }
        let mut outcome = Ok(());
        for thread in threads {
            if let Err(error) = thread.join().unwrap_or_else(|panic| Err(panicked(&*panic))) {
                tracing::error!(%error, "a shard of the relay failed");
                outcome = Err(error);
            }
        }
        outcome
    }
}

fn panicked(payload: &(dyn Any + Send)) -> io::Error {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    io::Error::other(format!("a shard panicked: {}", text.unwrap_or("without a message")))
}

struct StopOnDrop(Handle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// How many descriptors the process may have open.
fn descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn server_state(config: &Config, shards: u8, directory: Arc<RelayDirectory>) -> io::Result<Arc<ServerState>> {
    Ok(Arc::new(ServerState {
        inboxes: (0..shards).map(|_| Inbox::new()).collect::<io::Result<_>>()?,
        ports: PortPool::new(config.relay_ports.clone(), config.policy.inside_only, directory),
        metrics: (0..shards).map(|_| ShardMetrics::default()).collect(),
        connections: Connections::default(),
        max_wait: config.max_wait,
        // Most of what the process may open is for relays and connections.
        flows: FlowBudget::new(descriptor_limit() / 4),
        heartbeat: config.heartbeat.clone(),
    }))
}

fn shard_count(config: &Config) -> u8 {
    if config.features.tcp_allocations || config.features.mobility {
        return 1;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = u8::try_from(cores).unwrap_or(u8::MAX);
    config.shards.unwrap_or(cores).clamp(1, RelayDirectory::MAX_SHARDS - 1)
}

fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(bytes))
}
