//! The life of the process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::Value;
use tests::{Visavis, get, run};

fn has(log: &[Value], message: &str) -> bool {
    log.iter().any(|event| event["message"] == message)
}

#[test]
fn it_tells_that_it_lives_is_ready_and_which_version_it_is() {
    let server = Visavis::start(&["--app-version", "7.1-test", "--transports", "sse"]);
    assert_eq!(get(server.addr, "/livez").status, 200);
    assert_eq!(get(server.addr, "/readyz").status, 200);
    let version: Value = serde_json::from_str(&get(server.addr, "/version").body).unwrap();
    assert_eq!((&version["name"], &version["version"]), (&"visavis".into(), &"7.1-test".into()));
    let features = version["features"].as_array().unwrap();
    assert!(features.contains(&"sse".into()) && !features.contains(&"websocket".into()), "{features:?}");
    assert_eq!(get(server.addr, "/no-such-page").status, 404);
}

#[test]
fn those_who_may_frame_the_page_stand_in_its_policy() {
    let policy = |arguments: &[&str]| {
        let head = get(Visavis::start(arguments).addr, "/").head.to_ascii_lowercase();
        let line = head.lines().find(|line| line.starts_with("content-security-policy:")).unwrap().to_owned();
        line.split(';').map(str::trim).find(|part| part.starts_with("frame-ancestors")).unwrap().to_owned()
    };
    assert_eq!(policy(&[]), "frame-ancestors 'none'");
    let both = ["--frame-ancestors", "self", "--frame-ancestors", "https://Intranet.example:443"];
    assert_eq!(policy(&both), "frame-ancestors 'self' https://intranet.example");
}

#[test]
fn a_proxy_in_front_of_the_page_is_none_in_front_of_media() {
    let media = |arguments: &[&str]| Visavis::start(arguments).logged_addr("media server ready").ip();
    assert!(media(&[]).is_loopback());
    assert!(media(&["--trusted-proxy", "127.0.0.1/32"]).is_unspecified());
    assert!(media(&["--public-url", "https://calls.example"]).is_unspecified());
}

#[test]
fn sigterm_ends_it_with_success() {
    let server = Visavis::start(&[]);
    // A connection between two requests does not hold it up.
    let mut idle = TcpStream::connect(server.addr).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1_000]).unwrap() > 0);
    server.terminate();
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log:?}");
    assert!(has(&log, "draining") && has(&log, "ended"), "{log:?}");
    assert_eq!(idle.read(&mut [0; 1_000]).unwrap(), 0);
}

#[test]
fn while_it_drains_it_is_alive_and_not_ready() {
    // Long enough for any machine: the second signal ends the delay.
    let server = Visavis::start(&["--drain-delay", "3600"]);
    server.terminate();
    // The signal takes effect soon, and every answer until then says 200.
    while get(server.addr, "/readyz").status != 503 {}
    assert_eq!(get(server.addr, "/livez").status, 200);
    server.terminate();
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log:?}");
    assert!(has(&log, "ended at once"), "{log:?}");
}

#[test]
fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--listen", &addr], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    assert!(told.contains(&port) && told.contains("--listen"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn a_data_folder_that_cannot_be_is_named_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let output = run(folder.path(), &["--listen", "127.0.0.1:0", "--data-dir", "file/data"], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("file/data") && told.contains("--data-dir"), "{told}");
}

#[test]
fn a_data_folder_that_is_in_use_is_said_so() {
    let warned = |log: &[Value]| {
        log.iter().any(|line| line["message"].as_str().unwrap_or_default().starts_with("another server uses"))
    };
    let end = |server: Visavis| {
        server.terminate();
        server.wait().1
    };
    let first = Visavis::start(&[]);
    let folder = first.folder();
    assert!(warned(&end(Visavis::start_in(Arc::clone(&folder), &[]))));
    assert!(!warned(&end(first)));
    assert!(!warned(&end(Visavis::start_in(folder, &[]))), "the claim ended with the server");
}
