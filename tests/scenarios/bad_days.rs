//! Operational faults: logs that cannot be written, signals, child processes that outlive the server, folders that
//! disappear.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tests::api::{Api, until, wanted};
use tests::client::Ws;
use tests::postgres::Postgres;
use tests::{Visavis, command, get, remove_folder, run};

/// A server whose log is written to a destination of the test. Its address is read from standard output.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(folder: &Path, stderr: Stdio, arguments: &[&str]) -> Self {
        let free = "127.0.0.1:0";
        let mut command = command(folder, &["--listen", free, "--turn-listen", free, "--media-port", "0"]);
        let mut child = command.args(arguments).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines.find_map(|line| {
            Some(line.unwrap().trim().strip_prefix("http://localhost:")?.parse::<u16>().unwrap())
        });
        let addr = SocketAddr::from(([127, 0, 0, 1], addr.unwrap()));
        // Nobody reads standard output from here on.
        Self { child, addr }
    }

    /// Logs something, joins and leaves rooms, and checks that the probes report success.
    fn works(&self) {
        let stranger = Api::with_bearer(self.addr, "vsk_nobody_has_it");
        assert_eq!(stranger.get("/api/v1/meetings").status, 401);
        for round in 0..20 {
            let (mut ada, _) = Ws::join(self.addr, &format!("room-{round}"), "Ada");
            ada.settle();
        }
        assert_eq!((get(self.addr, "/livez").status, get(self.addr, "/readyz").status), (200, 200));
    }

    fn ends_well(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is free at the moment, for a server that cannot report its own.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Logs more than any buffer holds.
const LOUD: [&str; 2] = ["--log-level", "trace"];

#[test]
fn a_log_that_nobody_takes_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (unread, gone) = std::io::pipe().unwrap();
    let server = Server::start(folder.path(), gone.into(), &LOUD);
    server.works();
    drop(unread);
    server.works();
    server.ends_well();
}

#[test]
fn a_full_disk_under_the_log_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let server = Server::start(folder.path(), full.into(), &LOUD);
    server.works();
    server.ends_well();
}

#[test]
fn a_server_without_standard_streams_serves() {
    let folder = tempfile::tempdir().unwrap();
    let addr = free_address();
    let program = command(folder.path(), &[]).get_program().to_owned();
    let child = Command::new("sh")
        .args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"])
        .arg(program)
        .args(["--listen", &addr.to_string(), "--turn-listen", "127.0.0.1:0", "--media-port", "0"])
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    let server = Server { child, addr };
    until("the server", || TcpStream::connect(addr).is_ok());
    server.works();
    server.ends_well();
}

#[test]
fn lines_that_were_lost_are_told_when_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut reading, writing) = std::io::pipe().unwrap();
    // A full pipe rejects a line instead of blocking the writer.
    rustix::io::ioctl_fionbio(&writing, true).unwrap();
    let metrics = free_address();
    let listen = metrics.to_string();
    let arguments =
        [&LOUD[..], &["--metrics-listen", &listen, "--new-connections-per-second", "10000"]].concat();
    let server = Server::start(folder.path(), writing.into(), &arguments);
    // Nothing is read, so only a counter can show it.
    let stranger = Api::with_bearer(server.addr, "vsk_nobody_has_it");
    until("a full pipe", || {
        stranger.get("/api/v1/meetings");
        !get(metrics, "/metrics").body.contains("visavis_log_lines_lost_total 0\n")
    });
    let mut lines = BufReader::new(&mut reading);
    let mut told = String::new();
    while !told.contains("log lines are lost") {
        told.clear();
        assert!(lines.read_line(&mut told).unwrap() > 0, "the log ended");
    }
    drop(reading);
    server.works();
}

#[test]
fn signals_end_nothing_whatever_the_settings() {
    for arguments in [&["--tls", "off"][..], &[]] {
        let server = Visavis::start(arguments);
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
            server.signal(signal);
        }
        server.logged("SIGHUP: what can be reloaded is");
        server.logged("SIGUSR2 means nothing here");
        let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
        ada.settle();
        server.terminate();
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log:?}");
    }
}

#[test]
fn the_level_of_the_log_is_taken_over_at_sighup() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let file = folder.path().join("visavis.toml");
    fs::write(&file, "log-level = 'info'\ndrain-delay = 0\n").unwrap();
    let server = Visavis::start_in(Arc::clone(&folder), &["--config", "visavis.toml"]);
    fs::write(&file, "log-level = 'warn'\ndrain-delay = 1\n").unwrap();
    server.signal(Signal::HUP);
    server.logged("settings that have changed are taken over at the next start");
    fs::write(&file, "nonsense").unwrap();
    server.signal(Signal::HUP);
    server.logged("settings not read");
    server.terminate();
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.iter().all(|event| event["message"] != "draining"), "the level is `warn`: {log:?}");
}

/// An ffmpeg that reports its process id and runs until it is killed.
fn endless_ffmpeg(folder: &Path) -> String {
    let path = folder.join("endless-ffmpeg");
    let text = "#!/bin/sh\ncase \"$*\" in *-version*) exit 0;; esac\necho $$ >pid.new; mv pid.new pid\nexec sleep 3600\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A recording that has ended but is not finalised, as left by an earlier server.
fn unfinished_recording(folder: &Path) {
    let recordings = folder.join("visavis-data/recordings");
    fs::create_dir_all(&recordings).unwrap();
    let (id, life) = ("aaaaaaaaaaaaaaaa", "aaaaaaaaaa");
    let note = serde_json::json!({
        "recording": id, "room": "standup", "life": life, "peer": null, "name": null, "source": "camera",
        "startedAt": "2026-11-21T04:00:00Z", "endedAt": "2026-11-21T04:00:10Z", "state": "ready",
        "container": "webm", "file": "a.webm", "bytes": 9, "durationMs": 10_000, "codecs": ["vp8"],
        "lostPackets": 0, "droppedPackets": 0
    });
    fs::write(recordings.join("a.webm"), "recording").unwrap();
    fs::write(recordings.join(format!("{id}.json")), note.to_string()).unwrap();
}

fn is_running(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn parts(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder.join("visavis-data/recordings")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "part")).collect()
}

#[test]
fn ffmpeg_ends_with_the_server_and_leaves_nothing() {
    for kills in [false, true] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        unfinished_recording(folder.path());
        let ffmpeg = endless_ffmpeg(folder.path());
        let mut server = Visavis::start_in(Arc::clone(&folder), &["--ffmpeg", &ffmpeg]);
        let pid = || fs::read_to_string(folder.path().join("pid")).ok()?.trim().parse::<i32>().ok();
        until("ffmpeg", || pid().is_some());
        assert!(is_running(pid().unwrap()));
        assert_eq!(parts(folder.path()).len(), 1);
        if kills {
            server.kill();
        } else {
            server.terminate();
            let (status, log) = server.wait();
            assert_eq!(status.code(), Some(0), "{log:?}");
            assert_eq!(parts(folder.path()), Vec::<String>::new());
        }
        until("the end of ffmpeg", || !is_running(pid().unwrap()));
        if kills {
            let server = Visavis::start_in(Arc::clone(&folder), &["--recording-finalize", "off"]);
            server.logged("files that were half made are taken away");
            assert_eq!(parts(folder.path()), Vec::<String>::new());
        }
    }
}

#[test]
fn a_standard_output_that_nobody_reads_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (unread, gone) = std::io::pipe().unwrap();
    drop(unread);
    let addr = free_address();
    let mut command =
        command(folder.path(), &["--listen", &addr.to_string(), "--turn-listen", "127.0.0.1:0"]);
    let child = command.args(["--media-port", "0"]).stdout(gone).stderr(Stdio::null()).spawn().unwrap();
    let server = Server { child, addr };
    until("the server", || TcpStream::connect(addr).is_ok());
    server.works();
    server.ends_well();
}

#[test]
fn a_data_folder_that_goes_away_is_told_and_takes_nothing() {
    let server = Visavis::start(&[]);
    let folder = server.folder();
    let (data, aside) = (folder.path().join("visavis-data"), folder.path().join("aside"));
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let book = || api.post("/api/v1/meetings", &wanted(&serde_json::json!({}))).status;
    let ready = || get(server.addr, "/readyz");
    assert_eq!((book(), ready().status), (201, 200));
    fs::rename(&data, &aside).unwrap();
    assert_eq!(book(), 503);
    until("a probe that says so", || ready().body.contains("visavis-data was deleted"));
    assert_eq!(ready().status, 503);
    server.logged_with(&["the data folder is not what it was", "was deleted"]);
    // Calls continue.
    let (mut ada, _) = Ws::join(server.addr, "standup", "Ada");
    ada.settle();
    // A different folder in its place does not belong to this server.
    fs::create_dir(&data).unwrap();
    for name in ["visavis.db", "rooms.jsonl", "in-use"] {
        fs::copy(aside.join(name), data.join(name)).unwrap();
    }
    until("a probe that says so", || ready().body.contains("was replaced by another"));
    assert_eq!(book(), 503);
    remove_folder(&data);
    fs::rename(&aside, &data).unwrap();
    server.logged("the data folder is as it was");
    until("a probe that says so", || ready().status == 200);
    assert_eq!(book(), 201);
    assert_eq!(get(server.addr, "/livez").status, 200);
}

/// The lines of a server's log, for a server that may not get as far as listening.
fn log_of(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap)
}

#[test]
fn a_database_that_is_not_up_is_waited_for_before_anything_listens() {
    let postgres = Postgres::start();
    postgres.down();
    let folder = tempfile::tempdir().unwrap();
    let addr = free_address();
    let mut child = command(folder.path(), &["--listen", &addr.to_string(), "--turn-listen", "127.0.0.1:0"])
        .args(["--media-port", "0", "--database-url", &postgres.url()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut log = log_of(&mut child);
    let mut server = Server { child, addr };
    assert!(log.any(|line| line.contains("is not up: waiting for it")));
    assert!(TcpStream::connect(addr).is_err(), "nothing listens yet");
    postgres.up();
    assert!(log.any(|line| line.contains("listening")));
    drop(log);
    server.works();
    // While it waits, a signal ends it.
    postgres.down();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let mut child =
        command(folder.path(), &["--listen", &addr.to_string(), "--database-url", &postgres.url()])
            .spawn()
            .unwrap();
    assert!(log_of(&mut child).any(|line| line.contains("is not up: waiting for it")));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
#[ignore = "long: a database is waited for half a minute"]
fn a_database_that_does_not_come_up_is_a_reason_not_to_start() {
    let postgres = Postgres::start();
    postgres.down();
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--listen", "127.0.0.1:0", "--database-url", &postgres.url()], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("the database of meetings cannot be used") && told.contains("--database-url"),
        "{told}"
    );
}
