//! Engines that end: the process names the engine and the reason, saves what it can, and exits with an error; probes
//! report engines that hang. The faults are injected into a binary built with `planted-faults` (included in
//! `--all-features`).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

#[path = "../soak/media.rs"]
#[allow(dead_code, reason = "it ends no broadcast here")]
mod media;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use sfu::dtls::Identity;
use tempfile::TempDir;
use tests::api::{Api, until};
use tests::{Visavis, get, remove_folder};

use media::Broadcast;

/// Much longer than any expected wait: reached only on failure.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);
/// Settings with which every engine runs.
const EVERYTHING: [&str; 10] = [
    "--metrics-listen",
    "127.0.0.1:0",
    "--smtp",
    "smtp://127.0.0.1:1",
    "--mail-from",
    "calls@example.org",
    "--public-url",
    "https://calls.example",
    "--recording-store-option",
    "allow_http=true",
];
const STORE: [&str; 8] = [
    "--recording-store",
    "s3://nowhere",
    "--recording-store-option",
    "endpoint=http://127.0.0.1:1",
    "--recording-store-option",
    "access_key_id=a",
    "--recording-store-option",
    "secret_access_key=b",
];

fn plant(server: &Visavis, fault: &str) {
    fs::write(server.folder().path().join("planted-fault"), fault).unwrap();
    server.signal(Signal::USR2);
}

fn words(log: &[Value]) -> String {
    log.iter().map(|event| event["message"].as_str().unwrap_or_default().to_owned() + "\n").collect()
}

/// Starts a server with every engine, makes one panic, and reads the report.
fn panic_in(engine: &str) {
    let folder = Arc::new(TempDir::new().unwrap());
    let server = Visavis::start_in(folder, &[&EVERYTHING[..], &STORE].concat());
    plant(&server, &format!("panic {engine}"));
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{engine}: {log:?}");
    let said = words(&log);
    // The end of a shard is reported as that of the relay.
    let engine = if engine.starts_with("relay") { "relay failed" } else { engine };
    let told = said.lines().find(|line| line.starts_with("an engine has ended")).unwrap();
    assert!(told.contains(engine) && told.contains("a planted fault"), "{engine}: {told}");
}

#[test]
fn a_panic_in_any_engine_ends_the_process_which_says_so() {
    for engine in [
        "main",
        "shard 0",
        "media worker 0",
        "relay shard 0",
        "listener",
        "metrics",
        "settings",
        "clock",
        "folders",
        "stores",
        "certificates",
        "recorder",
        "finaliser",
        "uploader",
        "meetings' rooms",
        "meetings' timer",
        "webhooks",
        "mail",
    ] {
        panic_in(engine);
    }
}

#[test]
fn every_engine_is_among_those_that_the_test_above_plants_a_panic_in() {
    // Running engines give signs of life: a fault for no engine lists all of them in the log.
    let server = Visavis::start(&[&EVERYTHING[..], &STORE].concat());
    plant(&server, "list engines");
    server.logged("engines");
    server.terminate();
    let (_, log) = server.wait();
    let listed = log.iter().find(|event| event["message"] == "engines").unwrap();
    let mut engines: Vec<String> = serde_json::from_str(listed["names"].as_str().unwrap()).unwrap();
    engines.retain(|name| !name.ends_with(|digit: char| digit.is_ascii_digit() && digit != '0'));
    engines.sort();
    let mut expected = [
        "main",
        "shard 0",
        "media worker 0",
        "relay",
        "relay shard 0",
        "listener",
        "metrics",
        "settings",
        "clock",
        "folders",
        "stores",
        "certificates",
        "recorder",
        "finaliser",
        "uploader",
        "meetings' rooms",
        "meetings' timer",
        "webhooks",
        "mail",
    ];
    expected.sort_unstable();
    assert_eq!(engines, expected);
}

#[test]
fn what_is_being_recorded_is_closed_when_an_engine_ends() {
    let server = Visavis::start(&["--record", "all"]);
    let folder = server.folder();
    let broadcast = Broadcast::begin(server.addr, "stage", &Identity::generate().unwrap());
    let notes = || -> Vec<Value> {
        let files = fs::read_dir(folder.path().join("visavis-data/recordings")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let notes = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        notes.map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
    };
    until("a recording", || notes().iter().any(|note| note["state"] == "recording"));
    plant(&server, "panic shard 0");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log:?}");
    let notes = notes();
    assert!(!notes.is_empty() && notes.iter().all(|note| note["state"] != "recording"), "{notes:?}");
    drop(broadcast);
}

#[test]
fn a_recording_whose_folder_is_deleted_is_not_said_to_be_ready() {
    let server = Visavis::start(&["--record", "all"]);
    let recordings = server.folder().path().join("visavis-data/recordings");
    let mut broadcast = Broadcast::begin(server.addr, "stage", &Identity::generate().unwrap());
    let media = || -> usize {
        let names = fs::read_dir(&recordings).unwrap().map(|file| file.unwrap().file_name());
        names
            .filter(|name| {
                Path::new(name).extension().is_some_and(|extension| extension == "webm" || extension == "mp4")
            })
            .count()
    };
    until("a recording", || media() > 0);
    remove_folder(&recordings);
    while broadcast.host.until("recording")["state"] != "failed" {}
    until("a probe that says so", || get(server.addr, "/readyz").body.contains("recordings was deleted"));
    let keyed = Api::with_key(&server, &["recordings"], &[]);
    let listed = keyed.get("/api/v1/recordings?room=stage").json();
    let states: Vec<_> =
        listed["recordings"].as_array().unwrap().iter().map(|entry| &entry["state"]).collect();
    assert!(!states.is_empty() && states.iter().all(|state| *state == "failed"), "{listed}");
}

#[test]
fn an_engine_that_hangs_is_named_by_the_probes() {
    for engine in ["media worker 0", "relay shard 0"] {
        let server = Visavis::start(&[]);
        assert_eq!((get(server.addr, "/livez").status, get(server.addr, "/readyz").status), (200, 200));
        plant(&server, &format!("hang {engine}"));
        until("a probe that says so", || get(server.addr, "/livez").status == 503);
        server.logged("an engine gives no sign of life");
        for probe in ["/livez", "/readyz"] {
            let answer = get(server.addr, probe);
            assert_eq!(answer.status, 503, "{engine}");
            assert!(answer.body.contains(engine), "{}", answer.body);
        }
    }
}
