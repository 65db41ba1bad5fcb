//! Downloading a recording in parts yields one consistent file, whatever happens to it in between.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tests::api::Api;
use tests::{Answer, Visavis};

const RECORDING: &str = "abcdefghijklmnop";

/// A server with one recording, whose file contains this text.
fn serve(text: &str) -> (Visavis, Api, PathBuf) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let recordings = folder.path().join("visavis-data/recordings");
    fs::create_dir_all(&recordings).unwrap();
    let file = recordings.join("lesson.mp4");
    fs::write(&file, text).unwrap();
    let note = json!({
        "recording": RECORDING, "room": "standup", "life": "0123456789", "source": "camera",
        "startedAt": "2026-11-21T04:00:00Z", "endedAt": "2026-11-21T04:30:00Z", "state": "ready", "container": "mp4",
        "file": "lesson.mp4", "bytes": text.len(), "durationMs": 1, "codecs": [], "lostPackets": 0, "droppedPackets": 0,
        "finalised": true,
    });
    fs::write(recordings.join(format!("{RECORDING}.json")), note.to_string()).unwrap();
    let server = Visavis::start_in(folder, &["--recording-finalize", "off"]);
    let api = Api::with_key(&server, &["recordings"], &[]);
    (server, api, file)
}

fn fetch(api: &Api, headers: &[(&str, &str)]) -> Answer {
    api.ask("GET", &format!("/api/v1/recordings/{RECORDING}/file"), headers, None)
}

#[test]
fn a_resumed_download_goes_on_in_the_same_file_or_begins_anew() {
    let (_server, api, file) = serve("0123456789");
    let first = fetch(&api, &[("range", "bytes=0-3")]);
    assert_eq!((first.status, &*first.body, first.header("content-range")), (206, "0123", "bytes 0-3/10"));
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a strong one: {tag}");
    let rest = fetch(&api, &[("range", "bytes=4-"), ("if-range", &tag)]);
    assert_eq!((rest.status, &*rest.body), (206, "456789"));
    // Meanwhile it is finalised: a different file of the same length takes its place.
    let made = file.with_extension("new");
    fs::write(&made, "ABCDEFGHIJ").unwrap();
    fs::rename(&made, &file).unwrap();
    let rest = fetch(&api, &[("range", "bytes=4-"), ("if-range", &tag)]);
    assert_eq!((rest.status, &*rest.body), (200, "ABCDEFGHIJ"), "the whole of the new one");
    assert_ne!(rest.header("etag"), tag);
    assert_eq!(fetch(&api, &[("range", "bytes=4-"), ("if-match", &tag)]).status, 412);
    let tag = rest.header("etag").to_owned();
    let known = fetch(&api, &[("if-none-match", &tag)]);
    assert_eq!((known.status, &*known.body), (304, ""));
    let dated = fetch(&api, &[("range", "bytes=4-"), ("if-range", "Mon, 30 Nov 2026 01:00:00 GMT")]);
    assert_eq!((dated.status, dated.body.len()), (200, 10));
}

#[test]
fn ranges_that_make_no_sense_or_are_several_are_the_whole() {
    let (_server, api, _) = serve("0123456789");
    for (range, status, body) in [
        ("bytes=0-1,4-5", 200, "0123456789"),
        ("bytes=5-2", 200, "0123456789"),
        ("bytes=x-", 200, "0123456789"),
        ("lines=1-2", 200, "0123456789"),
        ("bytes=-3", 206, "789"),
        ("bytes=8-99", 206, "89"),
        ("bytes=10-", 416, ""),
    ] {
        let answer = fetch(&api, &[("range", range)]);
        assert_eq!((answer.status, &*answer.body), (status, body), "{range}");
        assert_eq!(answer.header("content-length"), body.len().to_string(), "{range}");
        assert_eq!(answer.header("accept-ranges"), "bytes");
    }
    assert_eq!(fetch(&api, &[("range", "bytes=10-")]).header("content-range"), "bytes */10");
}
