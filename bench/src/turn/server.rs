//! The servers under test, as processes.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use stun_turn::{Config, Limits, Listener, Server};

use crate::process::{Process, say};

pub(super) const SECRET: &str = "north";
pub(super) const REALM: &str = "visavis";

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A loop that moves packets and looks nothing up but the socket.
    Floor,
    /// This relay.
    Visavis,
    /// coturn, from the PATH.
    Coturn,
}

/// A server that responds.
pub(super) struct Running {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    process: Process,
}

impl Running {
    /// Starts a server on processor `cpu`; `None` if it is not installed.
    pub(super) fn start(kind: Kind, cpu: &str) -> anyhow::Result<Option<Self>> {
        match kind {
            Kind::Visavis => Self::start_self(kind, "serve", cpu).map(Some),
            Kind::Floor => Self::start_self(kind, "floor", cpu).map(Some),
            Kind::Coturn => Self::start_coturn(cpu),
        }
    }

    fn start_self(kind: Kind, role: &str, cpu: &str) -> anyhow::Result<Self> {
        let mut process = Process::pinned(cpu, &std::env::current_exe()?, |command| {
            command.args(["turn", role]).stdout(Stdio::piped());
        })?;
        let output = process.child.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the server said {line:?}"))?;
        Ok(Self { kind, address, process })
    }

    fn start_coturn(cpu: &str) -> anyhow::Result<Option<Self>> {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut process = Process::pinned(cpu, Path::new("turnserver"), |command| {
            command
                .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp"])
                .args(["-L", "127.0.0.1", "-E", "127.0.0.1", "-p", &port.to_string()])
                .args(["--use-auth-secret", "--static-auth-secret", SECRET, "-r", REALM])
                .args(["--allow-loopback-peers", "--log-file", "/dev/null", "--simple-log"])
                .args(["--pidfile", "/dev/null", "-m", "1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
        })?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let probe = UdpSocket::bind("127.0.0.1:0")?;
        probe.set_read_timeout(Some(Duration::from_millis(50)))?;
        probe.connect(address)?;
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.extend([9; 12]);
        for _ in 0..200 {
            if process.child.try_wait()?.is_some() {
                return Ok(None);
            }
            // Until it listens, a send may fail with the ICMP error of the previous one.
            if probe.send(&request).is_ok() && probe.recv(&mut [0; 200]).is_ok() {
                return Ok(Some(Self { kind: Kind::Coturn, address, process }));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("coturn does not answer")
    }

    /// CPU time of all threads so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        self.process.cpu()
    }

    /// Resident memory.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.process.resident_bytes()
    }
}

/// Runs this relay on one shard until it is killed.
pub(super) fn serve() -> anyhow::Result<()> {
    let config = Config {
        listeners: vec![Listener::udp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        relay_ports: 20_000..=45_000,
        realm: REALM.to_owned(),
        secrets: vec![SECRET.to_owned()],
        limits: Limits {
            allocations_per_user: usize::MAX,
            allocations_per_address: usize::MAX,
            unauthenticated_per_second: None,
            ..Limits::default()
        },
        policy: stun_turn::PeerPolicy {
            allowed: vec!["127.0.0.0/8".parse()?],
            ..stun_turn::PeerPolicy::default()
        },
        shards: Some(1),
        ..Config::default()
    };
    let server = Server::bind(&config)?;
    for listener in server.handle().listeners() {
        say(listener.address)?;
    }
    for event_loop in server.into_event_loops() {
        event_loop.run()?;
    }
    Ok(())
}
