//! Metrics of the server, on a separate listener.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

use std::net::UdpSocket;

use tests::client::Ws;
use tests::{Visavis, get, remove_folder, request};

fn value(page: &str, name: &str) -> u64 {
    let line = page.lines().find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next())
        .unwrap_or_else(|| panic!("no {name} in {page}"))
        .parse()
        .unwrap()
}

#[test]
fn rooms_media_and_relays_are_counted_without_labels_of_clients() {
    let server = Visavis::start(&["--metrics-listen", "127.0.0.1:0"]);
    let metrics = server.logged_addr("metrics ready");
    assert_eq!(get(server.addr, "/metrics").status, 404, "not where everybody is");
    let answer = get(metrics, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"));
    assert_eq!(value(&answer.body, "visavis_rooms"), 0);
    assert_eq!(value(&answer.body, "visavis_turn_allocations"), 0);
    assert_eq!(value(&answer.body, "visavis_sfu_transports"), 0);

    let (_ada, _) = Ws::join(server.addr, "a-room", "Ada");
    let page = get(metrics, "/metrics").body;
    assert_eq!((value(&page, "visavis_rooms"), value(&page, "visavis_peers")), (1, 1));
    assert_eq!(value(&page, "visavis_connections_opened_total"), 1);
    assert!(!page.contains("a-room") && !page.contains("Ada"));
    let labelled = page.lines().filter(|line| line.contains('{'));
    let free = labelled.filter(|line| !line.starts_with("visavis_causes_total{cause=")).count();
    assert_eq!(free, 1, "beside the causes, the version alone has a label");

    let stun = UdpSocket::bind("127.0.0.1:0").unwrap();
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    stun.send_to(&request, server.logged_addr("STUN and TURN ready")).unwrap();
    stun.recv(&mut [0; 100]).unwrap();
    // Shards publish their numbers at the end of a turn, a moment after the response.
    while value(&get(metrics, "/metrics").body, "visavis_turn_binding_requests_total") != 1 {}
}

#[test]
fn causes_are_counted_for_members_alone_and_only_those_on_the_list() {
    let server = Visavis::start(&["--metrics-listen", "127.0.0.1:0"]);
    let metrics = server.logged_addr("metrics ready");
    let (_ada, welcome) = Ws::join(server.addr, "standup", "Ada");
    let bearer = format!("Bearer {}", welcome["secret"].as_str().unwrap());
    let json = ("content-type", "application/json");
    let report = |bearer: &str, body: &str| {
        let headers = [json, ("authorization", bearer)];
        request(server.addr, "POST", "/api/v1/causes", &headers, Some(body.as_bytes())).status
    };
    assert_eq!(report(&bearer, r#"{"cause": "udp-blocked"}"#), 204);
    assert_eq!(report(&bearer, r#"{"cause": "made-up"}"#), 400);
    assert_eq!(report("Bearer none", r#"{"cause": "udp-blocked"}"#), 401);
    let page = get(metrics, "/metrics").body;
    assert_eq!(value(&page, "visavis_causes_total{cause=\"udp-blocked\"}"), 1);
    assert_eq!(page.lines().filter(|line| line.starts_with("visavis_causes_total{")).count(), 22);
    let path = request(server.addr, "GET", "/api/v1/media-path", &[("authorization", &bearer)], None);
    // In a mesh the media server knows nobody.
    assert_eq!((path.status, &*path.body), (200, r#"{"publish":null,"subscribe":null}"#));
    assert_eq!(get(server.addr, "/api/v1/media-path").status, 401);
}

#[test]
fn a_server_with_a_problem_is_not_ready() {
    let server = Visavis::start(&["--metrics-listen", "127.0.0.1:0", "--data-dir", "data"]);
    let metrics = server.logged_addr("metrics ready");
    assert_eq!(value(&get(metrics, "/metrics").body, "visavis_ready"), 1);
    remove_folder(&server.folder().path().join("data"));
    server.logged_with(&["the data folder is not what it was"]);
    assert_eq!(value(&get(metrics, "/metrics").body, "visavis_ready"), 0);
}

#[test]
fn nothing_listens_by_default() {
    let server = Visavis::start(&[]);
    assert_eq!(get(server.addr, "/metrics").status, 404);
    server.terminate();
    let (_, log) = server.wait();
    assert!(log.iter().all(|event| event["message"] != "metrics ready"));
}
