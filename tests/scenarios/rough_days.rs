//! A server under load through a series of faults, generated from a seed: a disk that fills and empties, a clock that
//! jumps, a log that closes, SIGHUPs and a data folder that disappears. The probes report the actual state meanwhile;
//! afterwards everything works, and no acknowledged data is lost.
//!
//! By default this takes seconds and needs no root: a limit on the size of files stands in for the disk, and the clock
//! is not changed. `tests/long/rough-days` runs it for ten minutes on a small tmpfs and with libfaketime:
//! `VISAVIS_ROUGH_MINUTES`, `VISAVIS_ROUGH_DISK` (a folder on the small disk), `VISAVIS_ROUGH_CLOCK` (the library).
//! `VISAVIS_ROUGH_SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "what fails in a test fails the test; a long run says how it goes, and when it is over"
)]

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::{Api, host_token, until, wanted};
use tests::client::Ws;
use tests::{command, get};

/// Rooms whose hosts stay, so that their settings are still there at the end.
const ROOMS: usize = 12;
/// Duration of a fault, and of the rest after it.
const DAY: Duration = Duration::from_millis(1_500);
/// Maximum number of booked meetings checked at the end: all, in any run that ends.
const LOOK_AT: usize = 5_000;

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    FullDisk,
    Clock(i64),
    ClosedLog,
    Hangups,
    FolderAway,
}

/// xorshift64*: the same faults for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn day(&mut self, has_clock: bool) -> Day {
        match self.roll(if has_clock { 5 } else { 4 }) {
            0 => Day::FullDisk,
            1 => Day::ClosedLog,
            2 => Day::Hangups,
            3 => Day::FolderAway,
            _ => Day::Clock(
                [-172_800, -3_600, -30, 30, 3_600, 259_200][usize::try_from(self.roll(6)).unwrap()],
            ),
        }
    }
}

/// The simulated machine.
struct Machine {
    /// Holds the log's pipe, the clock's file and, unless there is a small disk, the data.
    folder: TempDir,
    /// The folder on the small disk, if there is one.
    disk: Option<PathBuf>,
    clock: Option<PathBuf>,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            disk: env::var_os("VISAVIS_ROUGH_DISK").map(Into::into),
            clock: env::var_os("VISAVIS_ROUGH_CLOCK").map(Into::into),
        };
        rustix::fs::mknodat(
            rustix::fs::CWD,
            machine.log(),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        machine.set_clock(0);
        machine
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn data(&self) -> PathBuf {
        self.disk.as_deref().unwrap_or(self.folder.path()).join("visavis-data")
    }

    fn set_clock(&self, seconds: i64) {
        let path = self.folder.path().join("clock");
        fs::write(path.with_extension("new"), format!("{seconds:+}\n")).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    fn start(&self) -> Server {
        // Also opened for reading, so that it does not wait for a reader.
        let log = fs::OpenOptions::new().read(true).write(true).open(self.log()).unwrap();
        let reader = Reader::start(&self.log());
        let data = self.data();
        let mut command =
            command(self.folder.path(), &["--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0"]);
        command
            .args(["--media-port", "0", "--log-format", "json", "--log-level", "debug", "--data-dir"])
            .arg(&data);
        command.args(["--new-connections-per-second", "0"]);
        if let Some(library) = &self.clock {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("clock"))
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let writing = fs::OpenOptions::new().write(true).open(self.log()).unwrap();
        let child = command.stdout(Stdio::null()).stderr(writing).spawn().unwrap();
        let addr = reader.wait_for_address();
        drop(log);
        Server { child, addr, reader: Mutex::new(Some(reader)) }
    }
}

/// The collector of the log.
struct Reader {
    is_ending: Arc<AtomicBool>,
    addr: Arc<Mutex<Option<SocketAddr>>>,
}

impl Reader {
    fn start(log: &Path) -> Self {
        let reader = Self { is_ending: Arc::default(), addr: Arc::default() };
        let (is_ending, addr) = (Arc::clone(&reader.is_ending), Arc::clone(&reader.addr));
        let log = log.to_owned();
        let (ready, is_ready) = std::sync::mpsc::sync_channel(0);
        thread::spawn(move || {
            let file = fs::OpenOptions::new().read(true).write(true).open(log).unwrap();
            rustix::io::ioctl_fionbio(&file, true).unwrap();
            ready.send(()).unwrap();
            let mut text = Vec::new();
            let mut bytes = [0; 4_096];
            while !is_ending.load(Ordering::Acquire) {
                match std::io::Read::read(&mut &file, &mut bytes) {
                    Ok(count) => text.extend(&bytes[..count]),
                    Err(_) => thread::sleep(Duration::from_millis(20)),
                }
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
                    if event["message"] == "listening" {
                        *addr.lock().unwrap() = event["addr"].as_str().map(|addr| addr.parse().unwrap());
                    }
                }
            }
        });
        is_ready.recv().unwrap();
        reader
    }

    fn wait_for_address(&self) -> SocketAddr {
        until("the server", || self.addr.lock().unwrap().is_some());
        self.addr.lock().unwrap().unwrap()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Release);
    }
}

struct Server {
    child: Child,
    addr: SocketAddr,
    reader: Mutex<Option<Reader>>,
}

impl Server {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn limit_files(&self, most: Option<u64>) {
        let limit = getrlimit(Resource::Fsize);
        prlimit(Some(self.pid()), Resource::Fsize, Rlimit { current: most, maximum: limit.maximum }).unwrap();
    }

    fn is_ready(&self) -> bool {
        get(self.addr, "/readyz").status == 200
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends the load on drop, also on failure: otherwise those who wait for the load would wait for ever.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Everything the server has acknowledged.
#[derive(Default)]
struct Acknowledged {
    /// Ids, with their host tokens.
    meetings: Mutex<Vec<(String, String)>>,
    refused: AtomicU32,
}

/// Books meetings one after the other. Some are refused during faults; there are no other responses.
fn book(addr: SocketAddr, acknowledged: &Acknowledged, is_over: &AtomicBool) {
    let api = Api::anonymous(addr);
    while !is_over.load(Ordering::Acquire) {
        let answer = api.post("/api/v1/meetings", &wanted(&json!({})));
        match answer.status {
            201 => {
                let call = answer.json();
                let meeting = call["meeting"].as_str().unwrap().to_owned();
                acknowledged.meetings.lock().unwrap().push((meeting, host_token(&call).to_owned()));
            }
            // As many as an address may book.
            429 => thread::sleep(Duration::from_millis(500)),
            503 => drop(acknowledged.refused.fetch_add(1, Ordering::Relaxed)),
            status => panic!("a booking was answered with {status}: {}", answer.body),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Joins and leaves repeatedly, with a message each time.
fn visit(addr: SocketAddr, is_over: &AtomicBool) {
    for visit in 0_u64.. {
        if is_over.load(Ordering::Acquire) {
            return;
        }
        let (mut guest, _) = Ws::join(addr, &format!("passing-{}", visit % 7), "Guest");
        guest.send(&json!({"type": "chat", "text": "hello", "seq": 1}));
        guest.until("ack");
        guest.send(&json!({"type": "leave"}));
        thread::sleep(Duration::from_millis(200));
    }
}

/// The process is alive, whatever the fault.
fn probe(addr: SocketAddr, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Acquire) {
        let answer = get(addr, "/livez");
        assert_eq!(answer.status, 200, "{}", answer.body);
        thread::sleep(Duration::from_millis(100));
    }
}

fn set_lock(host: &mut Ws, seq: u64, locked: bool) {
    let action = if locked { "lock" } else { "unlock" };
    host.send(&json!({"type": "host", "action": action, "seq": seq}));
    assert_eq!(host.until("ack")["seq"], seq);
}

fn full_disk(machine: &Machine, server: &Server) {
    if let Some(disk) = &machine.disk {
        let filler = disk.join("filler");
        let mut file = File::create(&filler).unwrap();
        let zeros = vec![0; 65_536];
        while file.write_all(&zeros).is_ok() {}
        thread::sleep(DAY);
        drop(file);
        fs::remove_file(filler).unwrap();
    } else {
        server.limit_files(Some(0));
        thread::sleep(DAY);
        server.limit_files(None);
    }
}

fn go_through(day: Day, machine: &Machine, server: &Server) {
    match day {
        Day::FullDisk => full_disk(machine, server),
        Day::Clock(seconds) => {
            machine.set_clock(seconds);
            thread::sleep(DAY);
            machine.set_clock(0);
        }
        Day::ClosedLog => {
            drop(server.reader.lock().unwrap().take());
            thread::sleep(DAY);
            *server.reader.lock().unwrap() = Some(Reader::start(&machine.log()));
        }
        Day::Hangups => {
            for _ in 0..20 {
                kill_process(server.pid(), Signal::HUP).unwrap();
                thread::sleep(DAY / 20);
            }
        }
        Day::FolderAway => {
            let aside = machine.data().with_file_name("aside");
            fs::rename(machine.data(), &aside).unwrap();
            until("a probe that misses the folder", || !server.is_ready());
            fs::rename(aside, machine.data()).unwrap();
        }
    }
    // The server recovers by itself once the fault is over.
    until("readiness after a bad day", || server.is_ready());
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn nothing_that_was_acknowledged_is_lost_over_bad_days() {
    let seed = number("VISAVIS_ROUGH_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) << 20 | now.as_secs()
    });
    println!("VISAVIS_ROUGH_SEED={seed}");
    let mut dice = Dice(seed.max(1));
    let minutes = number("VISAVIS_ROUGH_MINUTES").unwrap_or(0);
    let begun = Instant::now();
    let machine = Machine::new();
    let server = machine.start();
    let addr = server.addr;
    let acknowledged = Acknowledged::default();
    let is_over = AtomicBool::new(false);
    let mut hosts: Vec<Ws> =
        (0..ROOMS).map(|room| Ws::join(addr, &format!("room-{room}"), "Ada").0).collect();
    let mut locked = [false; ROOMS];
    thread::scope(|scope| {
        let _end = Ending(&is_over);
        let load = [
            scope.spawn(|| book(addr, &acknowledged, &is_over)),
            scope.spawn(|| visit(addr, &is_over)),
            scope.spawn(|| probe(addr, &is_over)),
        ];
        let mut seq = 0;
        // Each kind of fault once, and then at random.
        let first = [Day::FullDisk, Day::ClosedLog, Day::Hangups, Day::FolderAway];
        let mut days = first.into_iter();
        loop {
            let is_late = begun.elapsed() > Duration::from_secs(60 * minutes);
            let day = match days.next() {
                Some(day) => day,
                None if is_late => break,
                None => dice.day(machine.clock.is_some()),
            };
            println!("{:>5} s: {day:?}", begun.elapsed().as_secs());
            go_through(day, &machine, &server);
            // A client that is silent for two heartbeats is disconnected.
            for host in &mut hosts {
                host.settle();
            }
            let room = usize::try_from(dice.roll(ROOMS as u64)).unwrap();
            locked[room] = !locked[room];
            seq += 1;
            set_lock(&mut hosts[room], seq, locked[room]);
            assert!(load.iter().all(|thread| !thread.is_finished()), "the load goes on");
        }
    });
    let meetings = acknowledged.meetings.into_inner().unwrap();
    let refused = acknowledged.refused.into_inner();
    println!("{} meetings booked, {refused} refused, rooms locked: {locked:?}", meetings.len());
    assert!(!meetings.is_empty());

    // After a power cut, everything acknowledged is present.
    drop(hosts);
    drop(server);
    let server = machine.start();
    for (meeting, token) in meetings.iter().take(LOOK_AT) {
        let api = Api::with_bearer(server.addr, token);
        let mut status = 429;
        // As many as an address may read.
        until("an answer of the store", || {
            status = api.get(&format!("/api/v1/meetings/{meeting}")).status;
            status != 429
        });
        assert_eq!(status, 200, "{meeting}");
    }
    for (room, locked) in locked.iter().enumerate() {
        let mut stranger = Ws::connect(server.addr);
        stranger.send(
            &json!({"type": "join", "room": format!("room-{room}"), "name": "Eve", "topology": "mesh"}),
        );
        let answer = stranger.next();
        assert_eq!(answer["code"] == "room-locked", *locked, "room-{room}: {answer}");
    }
    assert!(server.is_ready());
}
