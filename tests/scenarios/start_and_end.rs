//! Start and end of the process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tests::api::Api;
use tests::{Visavis, get, remove_folder, run};

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
fn health_tells_what_the_server_says_of_itself() {
    let server = Visavis::start(&["--data-dir", "data"]);
    let folder = server.folder();
    let listen = format!("127.0.0.1:{}", server.addr.port());
    let health = |more: &[&str]| run(folder.path(), &[&["health", "--listen", &listen], more].concat(), &[]);
    let answer = health(&["--ready"]);
    assert_eq!((answer.status.code(), &answer.stdout[..]), (Some(0), &b"ok\n"[..]));
    remove_folder(&folder.path().join("data"));
    server.logged_with(&["the data folder is not what it was"]);
    let answer = health(&["--ready"]);
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(said.contains("/readyz has status 503") && said.contains("data folder"), "{said}");
    assert_eq!(health(&[]).status.code(), Some(0), "it works nevertheless");
    server.terminate();
    server.wait();
    let answer = health(&[]);
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(said.contains("no answer from"), "{said}");
    assert_eq!(run(folder.path(), &["health", "--listen", "[::]:0"], &[]).status.code(), Some(1));
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
    // A connection between two requests does not delay the end.
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
    let server = Visavis::start(&["--drain-delay", "3600", "--new-connections-per-second", "0"]);
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
fn a_second_server_on_one_data_folder_is_refused_and_told_whose_it_is() {
    let first = Visavis::start(&[]);
    let folder = first.folder();
    let second = run(folder.path(), &FREE, &[]);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let told = String::from_utf8(second.stderr).unwrap();
    let process = format!("process {} on ", first.pid().as_raw_nonzero());
    assert!(told.contains(&process) && told.contains("--data-dir"), "{told}");
    assert_eq!(get(first.addr, "/readyz").status, 200);
    first.terminate();
    first.wait();
    // The claim ended with the server.
    drop(Visavis::start_in(folder, &[]));
}

/// Distinct free ports.
const FREE: [&str; 6] = ["--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0", "--media-port", "0"];

#[test]
fn a_port_that_somebody_else_has_is_refused_unless_it_is_not_wanted() {
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = udp.local_addr().unwrap().port().to_string();
    let address = tcp.local_addr().unwrap().to_string();
    for (setting, value, way_out) in
        [("--media-port", &port, "--no-sfu"), ("--turn-listen", &address, "--no-turn")]
    {
        let folder = tempfile::tempdir().unwrap();
        let refused = run(folder.path(), &[&FREE[..], &[setting, value]].concat(), &[]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(
            [setting, value.rsplit(':').next().unwrap(), way_out].iter().all(|word| told.contains(word)),
            "{told}"
        );
        drop(Visavis::start(&[setting, value, way_out]));
    }
}

fn modes(folder: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        found.push((path.clone(), mode));
        if path.is_dir() {
            modes(&path, found);
        }
    }
}

#[test]
fn everything_that_the_server_makes_is_its_owners_alone() {
    let server = Visavis::start(&[]);
    let folder = server.folder();
    let api = Api::with_key(&server, &["meetings:write"], &[]);
    api.book(&serde_json::json!({}));
    let backup = run(folder.path(), &["backup", "copy"], &[]);
    assert!(backup.status.success(), "{backup:?}");
    let mut found = Vec::new();
    modes(folder.path(), &mut found);
    let names: Vec<_> = found.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    for name in
        ["visavis.db", "visavis.db-wal", "session.key", "in-use", "rooms.jsonl", "recordings", "SHA256SUMS"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_folder_that_others_can_read_is_told_of_and_its_secrets_are_closed() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("visavis-data");
    fs::create_dir(&data).unwrap();
    drop(Visavis::start_in(Arc::clone(&folder), &[]));
    let database = data.join("visavis.db");
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o644)).unwrap();
    let server = Visavis::start_in(folder, &[]);
    server.logged("others on this machine can look into a folder: chmod 700");
    server.logged("a file that others could read is closed to them");
    assert_eq!(fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_lost_key_of_sessions_is_told_of_where_something_hung_on_it() {
    let server = Visavis::start(&[]);
    let folder = server.folder();
    let told = |log: &[Value]| {
        let begins =
            |event: &Value| event["message"].as_str().unwrap().starts_with("the key of sessions was missing");
        log.iter().any(begins)
    };
    Api::with_key(&server, &["meetings:write"], &[]).book(&serde_json::json!({}));
    server.terminate();
    assert!(!told(&server.wait().1));
    fs::remove_file(folder.path().join("visavis-data/session.key")).unwrap();
    fs::remove_file(folder.path().join("visavis-data/rooms.jsonl")).unwrap();
    let server = Visavis::start_in(folder, &[]);
    server.terminate();
    assert!(told(&server.wait().1));
}
