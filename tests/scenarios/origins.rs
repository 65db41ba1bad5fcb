//! Origins whose pages may use the server, and the path below which it is served.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tests::api::Api;
use tests::client::{credentials, join};
use tests::{Answer, Visavis, ask, get, request};

const PUBLISH: &str = include_str!("offers/chromium-156-publish.sdp");

/// A POST that creates a room, from a page of that origin, to a server under that host.
fn make(addr: SocketAddr, host: &str, headers: &[(&str, &str)]) -> Answer {
    let mut head =
        format!("POST /api/v1/rooms HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    ask(TcpStream::connect(addr).unwrap(), &format!("{head}\r\n"))
}

fn status(addr: SocketAddr, host: &str, origin: &str) -> u16 {
    make(addr, host, &[("origin", origin)]).status
}

#[test]
fn a_name_that_was_led_here_is_not_the_servers_own() {
    let server = Visavis::start(&[]);
    let (addr, port) = (server.addr, server.addr.port());
    for (own, origin) in [
        (format!("localhost:{port}"), format!("http://localhost:{port}")),
        (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}")),
        ("[::1]".to_owned(), "http://[::1]".to_owned()),
        ("LOCALHOST:80".to_owned(), "http://localhost".to_owned()),
    ] {
        assert_eq!(status(addr, &own, &origin), 201, "{own} {origin}");
    }
    for host in
        ["evil.test", &format!("evil.test:{port}"), "localhost.evil.test", "127.0.0.1.evil.test", "evil"]
    {
        assert_eq!(status(addr, host, &format!("http://{host}")), 403, "{host}");
    }
    // The same check protects the path for upgrades.
    let upgrade = "GET /api/v1/ws HTTP/1.1\r\nhost: evil.test\r\norigin: http://evil.test\r\nconnection: upgrade, close\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(ask(TcpStream::connect(addr).unwrap(), upgrade).status, 403);
}

#[test]
fn the_public_url_and_the_certificates_names_are_the_servers_own() {
    let server = Visavis::start(&["--public-url", "https://calls.example/visavis/"]);
    assert_eq!(status(server.addr, "anything", "https://calls.example"), 201);
    assert_eq!(status(server.addr, "calls.example", "http://calls.example"), 403, "another scheme");
    assert_eq!(status(server.addr, "calls.example:81", "https://calls.example:81"), 403, "another port");

    // The self-signed certificate contains this machine's name.
    let server = Visavis::start(&[]);
    let name = rustix::system::uname().nodename().to_str().unwrap().to_ascii_lowercase();
    if name != "localhost" {
        assert_eq!(status(server.addr, &name, &format!("http://{name}")), 201);
    }
    let without = Visavis::start(&["--tls", "off"]);
    if name != "localhost" && name.parse::<std::net::IpAddr>().is_err() {
        assert_eq!(status(without.addr, &name, &format!("http://{name}")), 403);
    }
}

#[test]
fn a_refusal_says_both_origins_to_the_page_and_to_the_operator() {
    // A proxy that drops the port.
    let server = Visavis::start(&["--trusted-proxy", "127.0.0.0/8", "--tls", "off"]);
    let refused = make(server.addr, "localhost", &[("origin", "http://localhost:9000")]);
    assert_eq!(refused.status, 403);
    assert_eq!(
        (&refused.json()["code"], &refused.json()["ownOrigin"]),
        (&json!("forbidden"), &json!("http://localhost"))
    );
    server.terminate();
    let (_, log) = server.wait();
    let said: Vec<&Value> = log.iter().filter(|event| event["origin"] == "http://localhost:9000").collect();
    assert_eq!(said.len(), 1, "{log:?}");
    assert_eq!((&said[0]["level"], &said[0]["own"]), (&json!("WARN"), &json!("http://localhost")));
    assert!(said[0]["message"].as_str().unwrap().contains("--public-url"), "{said:?}");
}

#[test]
fn apps_and_extensions_are_allowed_by_name_and_pages_without_an_origin_without_cookies() {
    let allowed = ["capacitor://localhost", "chrome-extension://abcdefghijklmnop", "null"];
    let server = Visavis::start(&allowed.map(|origin| ["--allowed-origin", origin]).concat());
    let addr = server.addr;
    for origin in allowed {
        let answer = make(addr, &addr.to_string(), &[("origin", origin)]);
        assert_eq!(answer.status, 201, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        let credentials = if origin == "null" { "" } else { "true" };
        assert_eq!(answer.header("access-control-allow-credentials"), credentials, "{origin}");
    }
    assert_eq!(status(addr, &addr.to_string(), "chrome-extension://another"), 403);
    // A cookie gives no access to a page without an origin.
    let json = ("content-type", "application/json");
    let joined = request(
        addr,
        "POST",
        "/api/v1/sessions",
        &[json],
        Some(join("standup", "Ada").to_string().as_bytes()),
    );
    let cookie = joined.header("set-cookie").split(';').next().unwrap().to_owned();
    let sandboxed = request(
        addr,
        "POST",
        "/api/v1/sessions",
        &[json, ("origin", "null")],
        Some(join("standup", "Eve").to_string().as_bytes()),
    );
    assert_eq!((sandboxed.status, sandboxed.headers("set-cookie")), (201, Vec::<&str>::new()));
    let messages = format!("/api/v1/sessions/{}/messages", credentials(&joined.json()).session);
    let post = |origin: &str| {
        let headers = [json, ("cookie", &*cookie), ("origin", origin)];
        request(addr, "POST", &messages, &headers, Some(br#"{"type":"ping"}"#)).status
    };
    assert_eq!((post("capacitor://localhost"), post("null")), (202, 401));
    server.terminate();
    let (_, log) = server.wait();
    let warned = |event: &Value| {
        event["level"] == "WARN"
            && event["message"].as_str().is_some_and(|text| text.contains("--allowed-origin null"))
    };
    assert!(log.iter().any(warned), "{log:?}");
}

#[test]
fn below_a_path_every_answer_names_it() {
    let server = Visavis::start(&["--public-url", "https://example.org/visavis/"]);
    let addr = server.addr;
    let below = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        request(addr, method, &format!("/visavis{path}"), headers, Some(body.as_bytes()))
    };
    let json = ("content-type", "application/json");
    let made = below("POST", "/api/v1/rooms", &[json], "{}");
    let room = made.json()["room"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["url"], format!("https://example.org/visavis/r/{room}"));
    assert_eq!(made.header("location"), format!("/visavis/api/v1/rooms/{room}"));

    let joined = below("POST", "/api/v1/sessions", &[json], &join("standup", "Ada").to_string());
    let session = credentials(&joined.json()).session;
    assert_eq!(joined.header("location"), format!("/visavis/api/v1/sessions/{session}"));
    assert!(
        joined.header("set-cookie").contains(&format!("; Path=/visavis/api/v1/sessions/{session};")),
        "{}",
        joined.head
    );

    let offered = below("POST", "/whip/stage", &[("content-type", "application/sdp")], PUBLISH);
    let place = offered.header("location");
    assert!(place.starts_with("/visavis/whip/stage/"), "{place}");
    assert_eq!(request(addr, "DELETE", place, &[], None).status, 200);

    let booked = Api::anonymous(addr).ask(
        "POST",
        "/visavis/api/v1/meetings",
        &[],
        Some(&tests::api::wanted(&json!({})).to_string()),
    );
    assert_eq!(booked.status, 201, "{}", booked.body);
    assert!(booked.header("location").starts_with("/visavis/api/v1/meetings/"), "{}", booked.head);
    assert!(
        booked.json()["joinUrl"].as_str().unwrap().starts_with("https://example.org/visavis/"),
        "{}",
        booked.body
    );

    for (path, place) in [
        ("/visavis", "/visavis/"),
        ("/visavis?a=b", "/visavis/?a=b"),
        ("/visavis/r/standup/", "/visavis/r/standup"),
        ("/visavis/meetings/", "/visavis/meetings"),
        ("/meetings/", "/meetings"),
    ] {
        let answer = get(addr, path);
        assert_eq!((answer.status, answer.header("location")), (308, place), "{path}");
    }
    // A load balancer beside the proxy sends requests without the path.
    for path in ["/readyz", "/visavis/readyz", "/visavis/", "/visavis/page/room.js", "/visavis/sdk/index.js"]
    {
        assert_eq!(get(addr, path).status, 200, "{path}");
    }
    assert_eq!(get(addr, "/visavision/readyz").status, 404);
}
