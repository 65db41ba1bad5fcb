//! Servers under test as processes, and their resource use according to the system.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// The processors: the first for the server, the second for the load.
pub(crate) const SERVER_CPU: &str = "0";
pub(crate) const LOAD_CPU: &str = "1";

/// A process on a dedicated processor. It is killed on drop.
pub(crate) struct Process {
    pub(crate) child: Child,
}

impl Process {
    /// Starts `program` on processor `cpu`, with the arguments and pipes set by `configure`.
    pub(crate) fn pinned(
        cpu: &str,
        program: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", cpu]).arg(program).stdin(Stdio::null());
        configure(&mut command);
        Ok(Self { child: command.spawn().context("taskset is needed")? })
    }

    /// CPU time of all threads so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end in between.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += text.split_whitespace().next().context("schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Number of times its threads have gone to sleep so far.
    pub(crate) fn waits(&self) -> anyhow::Result<u64> {
        let mut waits = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end in between.
            let Ok(text) = std::fs::read_to_string(task?.path().join("status")) else { continue };
            let line =
                text.lines().find(|line| line.starts_with("voluntary_ctxt_switches:")).context("status")?;
            waits += line.split_whitespace().nth(1).context("status")?.parse::<u64>()?;
        }
        Ok(waits)
    }

    /// Resident memory.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("a server could not be ended: {error}");
        }
    }
}

/// Reports the listening address to the parent.
pub(crate) fn say(address: SocketAddr) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{address}")?;
    output.flush()?;
    Ok(())
}

/// Raises the limit of open files, for this process and its children, as far as the system allows.
pub(crate) fn raise_limits() -> anyhow::Result<()> {
    let own = std::process::id().to_string();
    let hard = Command::new("prlimit")
        .args(["--pid", &own, "--nofile", "--noheadings", "--output", "HARD"])
        .output()?;
    let hard = String::from_utf8(hard.stdout)?;
    run("prlimit", &["--pid", &own, &format!("--nofile={0}:{0}", hard.trim())])
}

/// Binds this process to processor `cpu`, and raises its limits.
pub(crate) fn pin_and_raise_limits(cpu: &str) -> anyhow::Result<()> {
    raise_limits()?;
    run("taskset", &["-pc", cpu, &std::process::id().to_string()])
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status();
    if !status.with_context(|| format!("{program} is needed"))?.success() {
        eprintln!("{program} failed: the figures will be less steady");
    }
    Ok(())
}

/// Prints tables, and appends them to a file.
pub(crate) fn print(text: &str, output: Option<&Path>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    if let Some(path) = output {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        writeln!(file, "{text}")?;
    }
    Ok(())
}
