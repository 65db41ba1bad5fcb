//! The data folder is copied while the server runs, and a server starts with the copy.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::api::{Api, host_token, wanted};
use tests::client::Ws;
use tests::{Visavis, run};

/// What a command that must fail says.
fn refusal(refused: Output) -> String {
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    String::from_utf8(refused.stderr).unwrap()
}

fn restored(backup: &Path) -> Arc<TempDir> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let done = run(folder.path(), &["restore", backup.to_str().unwrap()], &[]);
    assert!(done.status.success(), "{done:?}");
    folder
}

#[test]
fn everything_that_was_answered_before_a_backup_under_load_is_in_it() {
    let server = Visavis::start(&["--recording-dir", "media"]);
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    let folder = server.folder();
    let call = api.book(&json!({}));
    let mut host = Ws::connect(server.addr);
    host.send(&json!({"type": "join", "room": call["code"], "name": "Ada", "token": host_token(&call)}));
    host.until("welcome");
    host.send(&json!({"type": "host", "action": "set-password", "value": "sesame", "seq": 1}));
    host.send(&json!({"type": "chat", "text": "the agenda", "seq": 2}));
    while host.until("ack")["seq"] != 2 {}
    // Notes about recordings are kept, media are not.
    fs::write(folder.path().join("media/some-recording.json"), "{}").unwrap();
    fs::write(folder.path().join("media/some-recording.webm"), "media").unwrap();

    let is_over = AtomicBool::new(false);
    let (answered, booked) = mpsc::sync_channel(1_000);
    let made = thread::scope(|scope| {
        for _ in 0..4 {
            let (answered, api, is_over) = (answered.clone(), api.clone(), &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = api.post("/api/v1/meetings", &wanted(&json!({})));
                    // The one writer of the database may be busy.
                    if answer.status == 201 {
                        answered.send(answer.json()["meeting"].clone()).unwrap();
                    }
                }
            });
        }
        let made: Vec<Value> = booked.iter().take(40).collect();
        let done = run(folder.path(), &["backup", "copy", "--recording-dir", "media"], &[]);
        is_over.store(true, Ordering::Relaxed);
        assert!(done.status.success(), "{done:?}");
        made
    });
    let copy = folder.path().join("copy");
    let checked =
        Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&copy).output();
    assert!(checked.unwrap().status.success());
    assert!(copy.join("recordings/some-recording.json").exists());
    assert!(!copy.join("recordings/some-recording.webm").exists());
    assert!(refusal(run(folder.path(), &["backup", "copy"], &[])).contains("cannot make the folder"));
    drop(server);

    let server = Visavis::start_in(restored(&copy), &[]);
    let api = api.at(server.addr);
    for meeting in made {
        let path = format!("/api/v1/meetings/{}", meeting.as_str().unwrap());
        assert_eq!(api.get(&path).status, 200);
    }
    // Links of the original, the password that the host set and the chat are valid here too.
    let mut host = Ws::connect(server.addr);
    let join = json!({"type": "join", "room": call["code"], "name": "Ada", "token": host_token(&call)});
    host.send(&join);
    assert_eq!(host.until("welcome")["room"]["id"], call["room"]);
    let mut guest = Ws::connect(server.addr);
    guest.send(&json!({"type": "join", "room": call["code"], "name": "Bob"}));
    assert_eq!(guest.next()["code"], "wrong-password");
    let recordings = server.folder().path().join("visavis-data/recordings");
    assert!(recordings.join("some-recording.json").exists());
}

#[test]
fn only_a_whole_backup_fills_an_empty_folder_that_no_server_uses() {
    let server = Visavis::start(&[]);
    let folder = server.folder();
    let path = folder.path();
    Api::anonymous(server.addr).book(&json!({}));
    assert!(refusal(run(path, &["backup", "visavis-data/copy"], &[])).contains("outside of the data folder"));
    assert!(!path.join("visavis-data/copy").exists());
    let done = run(path, &["backup", "copy"], &[]);
    assert!(done.status.success(), "{done:?}");
    assert!(refusal(run(path, &["restore", "copy"], &[])).contains("is used by"));
    drop(server);
    assert!(refusal(run(path, &["restore", "copy"], &[])).contains("is not empty"));

    let empty = tempfile::tempdir().unwrap();
    let restore = || run(empty.path(), &["restore", path.join("copy").to_str().unwrap()], &[]);
    let elsewhere =
        ["restore", path.join("copy").to_str().unwrap(), "--database-url", "postgres://nobody@127.0.0.1/x"]
            .map(str::to_owned);
    let elsewhere: Vec<_> = elsewhere.iter().map(String::as_str).collect();
    assert!(refusal(run(empty.path(), &elsewhere, &[])).contains("names another database"));
    let key = path.join("copy/session.key");
    let whole = fs::read(&key).unwrap();
    fs::write(&key, "damaged").unwrap();
    assert!(refusal(restore()).contains("session.key in the backup is damaged"));
    fs::remove_file(&key).unwrap();
    assert!(refusal(restore()).contains("cannot read session.key"));
    fs::write(&key, whole).unwrap();
    let list = path.join("copy/SHA256SUMS");
    let checksums = fs::read_to_string(&list).unwrap();
    fs::write(&list, checksums.replacen("  session.key", "  ../session.key", 1)).unwrap();
    assert!(refusal(restore()).contains("is not a name in a backup"));
    fs::remove_file(&list).unwrap();
    assert!(refusal(restore()).contains("is not a complete backup"));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is begun");
    fs::write(&list, checksums).unwrap();
    assert!(restore().status.success());
}

#[test]
fn a_restore_that_fails_leaves_nothing_that_a_server_would_start_with() {
    let server = Visavis::start(&[]);
    let path = server.folder().path().to_owned();
    Api::anonymous(server.addr).book(&json!({}));
    assert!(run(&path, &["backup", "copy"], &[]).status.success());
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = path.join("copy");
    let arguments = ["restore", copy.to_str().unwrap()];
    let failed = tests::on_a_full_disk(elsewhere.path(), &arguments).output().unwrap();
    assert!(refusal(failed).contains("cannot write"));
    let left = fs::read_dir(elsewhere.path().join("visavis-data")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "in-use"), "{left:?}");
    assert!(run(elsewhere.path(), &arguments, &[]).status.success());
}

/// `data-folders/NAME` is what a server of that day left behind: a meeting, an API key, and a room with a password.
#[test]
fn the_data_folder_of_an_earlier_version_is_used_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("visavis-data");
    fs::create_dir(&data).unwrap();
    let earlier = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/data-folders/2026-11-29");
    for entry in fs::read_dir(&earlier).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            fs::copy(&path, data.join(path.file_name().unwrap())).unwrap();
        }
    }
    let known: Value = serde_json::from_slice(&fs::read(earlier.join("known.json")).unwrap()).unwrap();
    let server = Visavis::start_in(Arc::new(folder), &[]);
    let api = Api::with_bearer(server.addr, known["apiKey"].as_str().unwrap());
    let path = format!("/api/v1/meetings/{}", known["meeting"]["meeting"].as_str().unwrap());
    assert_eq!(api.get(&path).json()["title"], "Standup");
    let mut host = Ws::connect(server.addr);
    let token = host_token(&known["meeting"]);
    host.send(&json!({"type": "join", "room": known["meeting"]["code"], "name": "Ada", "token": token}));
    assert_eq!(host.until("welcome")["room"]["id"], known["meeting"]["room"]);
    let mut guest = Ws::connect(server.addr);
    guest.send(&json!({"type": "join", "room": "workshop", "name": "Bob"}));
    assert_eq!(guest.next()["code"], "wrong-password");
}
