//! `visavis doctor`: each fault is planted and named.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]
#![allow(clippy::disallowed_methods, reason = "certificates and files are dated by the wall clock")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tests::{Visavis, command};

/// Ports of nobody, so that parallel tests do not meet.
const FREE: [&str; 6] = ["--listen", "127.0.0.1:0", "--turn-listen", "127.0.0.1:0", "--media-port", "0"];

fn doctor(folder: &Path, arguments: &[&str]) -> Output {
    let all: Vec<_> = ["doctor", "--json"].iter().chain(&FREE).chain(arguments).copied().collect();
    command(folder, &all).output().unwrap()
}

/// The report, and whether the exit code says what it does.
fn report(output: &Output) -> Value {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.code(), Some(i32::from(report["ok"] == false)), "{report}");
    report
}

/// The verdicts of a check, and its cause and remedy where it has them.
#[track_caller]
fn expect(report: &Value, check: &str, verdict: &str, cause: Option<&str>) {
    let findings = report["findings"].as_array().unwrap();
    let found: Vec<_> = findings.iter().filter(|finding| finding["check"] == check).collect();
    let fits = |finding: &&Value| finding["verdict"] == verdict && finding["cause"].as_str() == cause;
    let finding = found.iter().copied().find(fits);
    let finding = finding.unwrap_or_else(|| panic!("{check} is not {verdict} ({cause:?}): {report:#}"));
    assert_eq!(finding["remedy"].is_string(), verdict == "wrong", "{finding}");
}

#[test]
fn a_running_server_is_well() {
    let server =
        Visavis::start(&["--transports", "websocket,sse", "--trusted-proxy", "127.0.0.1/32", "--tls", "off"]);
    let relay = server.logged_addr("STUN and TURN ready");
    let media = server.logged_addr("media server ready");
    let page = server.addr.to_string();
    let url = format!("http://{page}");
    let (turn, port) = (relay.to_string(), media.port().to_string());
    let data = server.folder().path().join("visavis-data");
    let output = command(
        server.folder().path(),
        &[
            "doctor",
            "--json",
            "--listen",
            &page,
            "--turn-listen",
            &turn,
            "--media-port",
            &port,
            "--tls",
            "off",
            "--trusted-proxy",
            "127.0.0.1/32",
            "--public-url",
            &url,
            "--via",
            &turn,
            "--data-dir",
            data.to_str().unwrap(),
            "--recording-finalize",
            "off",
        ],
    )
    .output()
    .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for check in [
        "page",
        "media",
        "relay-udp",
        "relay-tcp",
        "relay",
        "media-path",
        "address",
        "certificate",
        "clock",
        "data-folder",
        "public-url",
        "websocket",
        "events",
        "public-clock",
        "database",
    ] {
        expect(&report, check, "fine", None);
    }
}

#[test]
fn a_port_that_another_program_has() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (page, media) = (tcp.local_addr().unwrap().to_string(), udp.local_addr().unwrap().port().to_string());
    // What has the port accepts, says nothing and hangs up.
    thread::spawn(move || while tcp.accept().is_ok() {});
    let report = report(&doctor(folder.path(), &["--listen", &page, "--media-port", &media]));
    expect(&report, "page", "wrong", None);
    expect(&report, "media", "wrong", None);
    expect(&report, "relay-udp", "fine", None);
}

#[test]
fn an_address_that_is_not_the_announced_one() {
    let folder = tempfile::tempdir().unwrap();
    // A STUN server: the relay of another visavis.
    let server = Visavis::start(&[]);
    let via = server.logged_addr("STUN and TURN ready").to_string();
    let found = |arguments: &[&str]| report(&doctor(folder.path(), arguments));
    expect(&found(&["--via", &via]), "address", "fine", None);
    expect(&found(&["--via", &via, "--external-ip", "127.0.0.1"]), "address", "fine", None);
    let wrong = found(&["--via", &via, "--external-ip", "198.51.100.7"]);
    expect(&wrong, "address", "wrong", Some("wrong-external-address"));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    expect(&found(&["--via", &silent]), "address", "wrong", None);
}

#[test]
fn two_faults_at_once_a_certificate_and_a_clock() {
    let folder = tempfile::tempdir().unwrap();
    let made = signaling_transport_certificate(SystemTime::now() - Duration::from_hours(400 * 24));
    let pem = folder.path().join("old.pem");
    fs::write(&pem, made).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let file = File::create(data.join("turn.key")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_hours(2)).unwrap();
    let pem = pem.to_str().unwrap();
    let report = report(&doctor(
        folder.path(),
        &["--tls-cert", pem, "--tls-key", pem, "--data-dir", data.to_str().unwrap()],
    ));
    expect(&report, "certificate", "wrong", Some("certificate-expired"));
    expect(&report, "clock", "wrong", Some("clock-off"));
    expect(&report, "data-folder", "wrong", None);
}

/// A self-signed certificate, made at this time.
fn signaling_transport_certificate(at: SystemTime) -> String {
    signaling_transport::net::self_signed::make(&["localhost".to_owned()], at).unwrap().pem
}

#[test]
fn a_certificate_that_is_not_there_and_a_program_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let report = report(&doctor(
        folder.path(),
        &["--tls-cert", "none.pem", "--tls-key", "none.pem", "--ffmpeg", "/nowhere/ffmpeg"],
    ));
    expect(&report, "certificate", "wrong", None);
    expect(&report, "ffmpeg", "wrong", None);
}

#[test]
fn few_files_and_a_container() {
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<_> = ["doctor", "--json"].iter().chain(&FREE).copied().collect();
    let plain = command(folder.path(), &words);
    let mut limited = std::process::Command::new("prlimit");
    limited.arg("--nofile=256:256").arg(plain.get_program()).args(plain.get_args());
    let output = limited.current_dir(folder.path()).env("container", "podman").output().unwrap();
    let report = report(&output);
    expect(&report, "files", "wrong", None);
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["check"] == "container"), "{report}");
}

#[test]
fn a_database_that_does_not_answer_and_a_broken_one() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://u:p@{}/calls", nobody());
    expect(&report(&doctor(folder.path(), &["--database-url", &url])), "database", "wrong", None);
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/visavis.db"), "this is no database, whatever its name says").unwrap();
    expect(&report(&doctor(folder.path(), &["--data-dir", "data"])), "database", "wrong", None);
}

#[test]
fn a_public_url_where_nobody_or_somebody_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let found = |url: &str| report(&doctor(folder.path(), &["--public-url", url]));
    let url = format!("http://{}", nobody());
    expect(&found(&url), "public-url", "wrong", Some("server-unreachable"));
    let other = proxy(|_| None);
    expect(&found(&format!("http://{other}")), "public-url", "wrong", None);
}

#[test]
fn a_proxy_that_eats_upgrades_and_events() {
    let server = Visavis::start(&["--tls", "off"]);
    let upstream = server.addr;
    // It forwards requests one by one, without what concerns the connection, and whole answers alone.
    let proxy = proxy(move |request| {
        let head: String = request
            .split("\r\n")
            .filter(|line| {
                !line.to_ascii_lowercase().starts_with("upgrade:")
                    && !line.to_ascii_lowercase().starts_with("connection:")
            })
            .collect::<Vec<_>>()
            .join("\r\n");
        let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let mut stream = TcpStream::connect(upstream).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // An event stream has no end, so that nothing of it is passed on.
        stream.read_to_end(&mut answer).ok()?;
        Some(answer)
    });
    let folder = tempfile::tempdir().unwrap();
    let report = report(&doctor(folder.path(), &["--public-url", &format!("http://{proxy}")]));
    expect(&report, "public-url", "fine", None);
    expect(&report, "websocket", "wrong", None);
    expect(&report, "events", "wrong", None);
}

#[test]
fn settings_that_cannot_be_read_have_an_exit_code_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path(), &["doctor", "--media-port", "many"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output =
        command(folder.path(), &["doctor", "--listen", "127.0.0.1:0", "--tls", "off"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines().all(|line| ["fine", "WRONG", "unknown"].iter().any(|verdict| line.starts_with(verdict))),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(1), "TLS is off without a proxy");
}

/// An address at which nothing listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A proxy that answers each connection with what `forward` makes of its request, or with an error.
fn proxy(forward: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), forward) = (stream, forward.clone()) else { return };
            thread::spawn(move || {
                let request = read_request(&mut stream);
                let answer = forward(&request);
                let none = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                // The client may have given up.
                let _ = stream.write_all(&answer.unwrap_or_else(|| none.to_vec()));
            });
        }
    });
    address
}

/// One request with its body.
fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let len = stream.read(&mut buffer).unwrap_or(0);
        request.extend_from_slice(buffer.get(..len).unwrap());
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if len == 0 {
                return text;
            }
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        if len == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}
