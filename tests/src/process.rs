//! The program as a child process.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

/// The program under test: `VISAVIS_BIN`, otherwise the one beside this test in the target folder.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("VISAVIS_BIN") {
        return path.into();
    }
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("visavis");
    assert!(
        program.exists(),
        "{} is not there: run `cargo build -p server-bin` first (tests/run does), or name a program in VISAVIS_BIN",
        program.display()
    );
    program
}

/// Removes a folder that a server may be writing in: out of its sight first, or a new file would be found in it.
pub fn remove_folder(folder: &Path) {
    let aside = folder.with_extension("removed");
    fs::rename(folder, &aside).unwrap();
    fs::remove_dir_all(aside).unwrap();
}

/// The program with these arguments, in `folder`, without this process's settings in its environment.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in env::vars_os() {
        let ours = name.to_string_lossy().starts_with("VISAVIS_");
        if ours
            || ["HTTP_PORT", "DEV_MODE", "APP_VERSION", "OTEL_EXPORTER_OTLP_ENDPOINT"]
                .iter()
                .any(|known| name == *known)
        {
            command.env_remove(name);
        }
    }
    command
}

/// Settings of a server that does not conflict with others.
const FREE: [&str; 8] =
    ["--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0", "--media-port", "0", "--log-format", "json"];

/// As [`command`], on a disk that cannot be written: no file may grow.
pub fn on_a_full_disk(folder: &Path, arguments: &[&str]) -> Command {
    started_by(&["sh", "-c", r#"ulimit -S -f 0; trap '' XFSZ; exec "$0" "$@""#], folder, arguments)
}

/// As [`command`], run by a launcher: a program and its arguments, followed by those of the server.
fn started_by(launcher: &[&str], folder: &Path, arguments: &[&str]) -> Command {
    let plain = command(folder, arguments);
    let (program, words) = launcher.split_first().unwrap();
    let mut whole = Command::new(program);
    whole.args(words).arg(plain.get_program()).args(plain.get_args()).current_dir(folder);
    whole.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, value) in plain.get_envs() {
        if value.is_none() {
            whole.env_remove(name);
        }
    }
    whole
}

/// Runs the program until it exits.
pub fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(folder, arguments).envs(environment.iter().copied()).output().unwrap()
}

/// The events of a server's log so far.
#[derive(Debug, Default)]
struct Log {
    events: Mutex<Vec<Value>>,
    /// Notified of every event.
    more: Condvar,
}

impl Log {
    fn push(&self, event: Value) {
        self.events.lock().unwrap().push(event);
        self.more.notify_all();
    }
}

/// A running server. It is killed on drop.
#[derive(Debug)]
pub struct Visavis {
    child: Child,
    /// The address it listens on.
    pub addr: SocketAddr,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    folder: Arc<TempDir>,
}

impl Visavis {
    /// Starts it on a free port of loopback, in a new folder, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), arguments)
    }

    /// As [`start`](Self::start), in a folder that was used before.
    pub fn start_in(folder: Arc<TempDir>, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    /// The same, with additional environment variables.
    pub fn start_with(folder: Arc<TempDir>, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let command = command(folder.path(), &FREE);
        Self::start_by(command, folder, arguments, environment)
    }

    /// As [`start_in`](Self::start_in), on a disk that cannot be written until [`Self::limit_files`] changes that.
    pub fn start_on_a_full_disk(folder: Arc<TempDir>, arguments: &[&str]) -> Self {
        let command = on_a_full_disk(folder.path(), &FREE);
        Self::start_by(command, folder, arguments, &[])
    }

    /// As [`start_in`](Self::start_in), with no power over files of other owners, also where the tests are run by root.
    pub fn start_without_privileges(folder: Arc<TempDir>, arguments: &[&str]) -> Self {
        let command = if rustix::process::geteuid().is_root() {
            let launcher = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
            started_by(&launcher, folder.path(), &FREE)
        } else {
            command(folder.path(), &FREE)
        };
        Self::start_by(command, folder, arguments, &[])
    }

    fn start_by(
        mut command: Command,
        folder: Arc<TempDir>,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        // Nobody reads it, and a full pipe would block the server.
        command.args(arguments).envs(environment.iter().copied()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Log::default());
        let addr = loop {
            let event = next_event(&mut lines).unwrap_or_else(|rest| {
                panic!("the server ended ({:?}) before it listened; its log: {log:?} {rest}", child.wait())
            });
            let addr =
                (event["message"] == "listening").then(|| event["addr"].as_str().unwrap().parse().unwrap());
            log.push(event);
            if let Some(addr) = addr {
                break addr;
            }
        };
        let kept = Arc::clone(&log);
        let reader = thread::spawn(move || {
            while let Ok(event) = next_event(&mut lines) {
                kept.push(event);
            }
        });
        Self { child, addr, log, reader: Some(reader), folder }
    }

    /// Its working folder, which also holds its data.
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// Its process, for signals.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until the log has a message with all of these words.
    pub fn logged_with(&self, words: &[&str]) {
        let events = self.log.events.lock().unwrap();
        let has = |event: &Value| {
            event["message"].as_str().is_some_and(|message| words.iter().all(|word| message.contains(word)))
        };
        let lacks = |events: &mut Vec<Value>| !events.iter().any(has);
        drop(self.log.more.wait_while(events, lacks).unwrap());
    }

    /// Limits the size of its files to this many bytes, which has the effect of a full disk, or removes the limit.
    pub fn limit_files(&self, most: Option<u64>) {
        let limit = getrlimit(Resource::Fsize);
        prlimit(Some(self.pid()), Resource::Fsize, Rlimit { current: most, maximum: limit.maximum }).unwrap();
    }

    /// Waits until the log has this message.
    pub fn logged(&self, message: &str) {
        let events = self.log.events.lock().unwrap();
        let lacks = |events: &mut Vec<Value>| !events.iter().any(|event| event["message"] == message);
        drop(self.log.more.wait_while(events, lacks).unwrap());
    }

    /// Waits for the first log line with this message, and returns the address in it.
    pub fn logged_addr(&self, message: &str) -> SocketAddr {
        self.logged(message);
        let events = self.log.events.lock().unwrap();
        let event = events.iter().find(|event| event["message"] == message).unwrap();
        event["addr"].as_str().unwrap().parse().unwrap()
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it exits; returns its status and its log.
    pub fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, std::mem::take(&mut *self.log.events.lock().unwrap()))
    }
}

impl Drop for Visavis {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next log event, or the line that is not one.
fn next_event(lines: &mut BufReader<ChildStderr>) -> Result<Value, String> {
    let mut line = String::new();
    lines.read_line(&mut line).map_err(|error| error.to_string())?;
    serde_json::from_str(&line).map_err(|_| {
        let _ = lines.read_to_string(&mut line);
        line
    })
}
