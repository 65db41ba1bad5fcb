//! Processes under test: what they cost, and which processor they run on.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// A server under test. It ends when this is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    name: String,
}

impl Process {
    /// Starts a command on one processor.
    pub(crate) fn start(name: &str, cpu: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", cpu]).arg(command.get_program()).args(command.get_args());
        std::mem::swap(&mut command, &mut pinned);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = command.spawn().context("taskset is needed")?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// CPU time of all threads up to now.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0_u64;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanos += text.split_whitespace().next().context("schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Memory in RAM.
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
            eprintln!("{} could not be ended: {error}", self.name);
        }
    }
}

/// Puts this process on processor `cpu` and lets it, and its children, open as many files as the system allows.
pub(crate) fn pin_and_raise_limits(cpu: &str) -> anyhow::Result<()> {
    let own = std::process::id().to_string();
    let hard = Command::new("prlimit")
        .args(["--pid", &own, "--nofile", "--noheadings", "--output", "HARD"])
        .output()?;
    let hard = String::from_utf8(hard.stdout)?;
    let limit = format!("--nofile={0}:{0}", hard.trim());
    for (program, arguments) in
        [("prlimit", vec!["--pid", &own, &limit]), ("taskset", vec!["-pc", cpu, &own])]
    {
        let status = Command::new(program).args(arguments).stdout(Stdio::null()).status();
        if !status.with_context(|| format!("{program} is needed"))?.success() {
            eprintln!("{program} failed: the figures will be less steady");
        }
    }
    Ok(())
}

/// Prints the tables, and appends them to a file.
pub(crate) fn print(text: &str, output: Option<&Path>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    if let Some(path) = output {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        writeln!(file, "{text}")?;
    }
    Ok(())
}
