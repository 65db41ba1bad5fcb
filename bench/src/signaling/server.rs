//! The servers under test: `visavis` with each of its transports, the official Socket.IO server, and the floor.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::process::{Process, SERVER_CPU};

/// A server, and the transport of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A bare axum WebSocket broadcast.
    Floor,
    /// `visavis` by WebSocket.
    Websocket,
    /// The same, with `--keep-chat off`: what the write of each message to disk costs.
    WebsocketUnkept,
    /// `visavis` by server-sent events, with messages by POST.
    Sse,
    /// `visavis` by Socket.IO.
    Socketio,
    /// The official Socket.IO server on Node.
    Node,
    /// What Socket.IO costs the kernel.
    Bare,
}

impl Kind {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Floor => "bare broadcast",
            Self::Websocket => "visavis, WebSocket",
            Self::WebsocketUnkept => "visavis, WebSocket, chat not kept",
            Self::Sse => "visavis, SSE",
            Self::Socketio => "visavis, Socket.IO",
            Self::Node => "Node, Socket.IO",
            Self::Bare => "bare loop, Socket.IO",
        }
    }

    /// Whether the clients use Socket.IO.
    pub(super) fn is_socketio(self) -> bool {
        matches!(self, Self::Socketio | Self::Node | Self::Bare)
    }

    /// Whether the clients have sessions that outlive connections.
    pub(super) fn resumes(self) -> bool {
        matches!(self, Self::Websocket | Self::WebsocketUnkept | Self::Sse | Self::Socketio)
    }
}

/// A listening server.
pub(super) struct Running {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    process: Process,
    _data: Option<TempDir>,
}

impl Running {
    pub(super) fn start(kind: Kind, visavis: &Path) -> anyhow::Result<Self> {
        match kind {
            Kind::Floor | Kind::Bare => {
                let own = std::env::current_exe()?;
                let role = if kind == Kind::Floor { "floor" } else { "bare" };
                Self::start_that_says(kind, &own, &["signaling".as_ref(), role.as_ref()])
            }
            Kind::Node => Self::start_that_says(
                kind,
                Path::new("node"),
                &[node_folder().join("server.mjs").as_os_str()],
            ),
            Kind::Websocket | Kind::Sse | Kind::Socketio => Self::start_visavis(kind, visavis, &[]),
            // To its clients it is a server like the other.
            Kind::WebsocketUnkept => Self::start_visavis(Kind::Websocket, visavis, &["--keep-chat", "off"]),
        }
    }

    /// A program that prints its address as its first line.
    fn start_that_says(kind: Kind, program: &Path, arguments: &[&OsStr]) -> anyhow::Result<Self> {
        let mut process = Process::pinned(SERVER_CPU, program, |command| {
            command.args(arguments).stdout(Stdio::piped());
        })?;
        let output = process.child.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the server said {line:?}"))?;
        Ok(Self { kind, address, process, _data: None })
    }

    /// The program in its normal configuration but for the arguments, with media server and relay; rooms are peer to
    /// peer.
    fn start_visavis(kind: Kind, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let free = "127.0.0.1:0";
        let mut process = Process::pinned(SERVER_CPU, program, |command| {
            command
                .args(["--listen", free, "--turn-listen", free, "--media-port", "0"])
                .args(["--log-format", "json", "--data-dir"])
                .arg(data.path())
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
        })?;
        let mut log = BufReader::new(process.child.stderr.take().context("no log")?);
        let address = loop {
            let mut line = String::new();
            ensure!(log.read_line(&mut line)? > 0, "the server ended before it listened");
            let event: serde_json::Value = serde_json::from_str(&line).context(line.clone())?;
            if event.get("message").is_some_and(|message| message == "listening") {
                break event.get("addr").and_then(serde_json::Value::as_str).context("addr")?.parse()?;
            }
        };
        // A full pipe would block the server.
        std::thread::spawn(move || {
            for line in BufReader::new(log.into_inner().take(u64::MAX)).lines().map_while(Result::ok) {
                eprintln!("{line}");
            }
        });
        Ok(Self { kind, address, process, _data: Some(data) })
    }

    /// CPU time so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        self.process.cpu()
    }

    /// Resident memory.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.process.resident_bytes()
    }
}

/// The folder of the Node server and its packages.
fn node_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

/// Builds the current `visavis`, unless `given` names a binary. Returns its path.
pub(super) fn build(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "-p", "server-bin", "--manifest-path"])
        .arg(manifest)
        .status()?;
    ensure!(built.success(), "visavis could not be built");
    let own = std::env::current_exe()?;
    let built = own.parent().context("no folder")?.with_file_name("release").join("visavis");
    ensure!(built.exists(), "{} is not there", built.display());
    Ok(built)
}

/// Installs the Node server's dependencies if they are missing.
pub(super) fn install_node_packages() -> anyhow::Result<()> {
    let folder = node_folder();
    if folder.join("node_modules/socket.io/package.json").exists() {
        return Ok(());
    }
    let status = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--prefix"])
        .arg(&folder)
        .stdout(Stdio::null())
        .status()
        .context("npm is needed")?;
    ensure!(status.success(), "npm could not install the Socket.IO server");
    Ok(())
}
