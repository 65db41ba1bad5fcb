//! Slow clients, and clients that send too much.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{Read, Write};
use std::net::TcpStream;

use tests::{Visavis, ask, get};

#[test]
fn a_header_that_never_ends_is_cut_off_and_disturbs_nobody() {
    let server = Visavis::start(&[]);
    // Before the first byte, in the middle of a header, in the middle of a TLS handshake.
    let mut slow: Vec<TcpStream> = [&b""[..], b"GET / HTTP/1.1\r\nhost: loc", b"\x16\x03\x01\x02\x00"]
        .iter()
        .map(|start| {
            let mut stream = TcpStream::connect(server.addr).unwrap();
            stream.write_all(start).unwrap();
            stream
        })
        .collect();
    assert_eq!(get(server.addr, "/livez").status, 200);
    for stream in &mut slow {
        // The server closes by itself; a response before that (408) would be acceptable too.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert_eq!(get(server.addr, "/livez").status, 200);
}

#[test]
fn a_header_over_its_limit_is_refused() {
    let server = Visavis::start(&[]);
    let padding = "a".repeat(20_000);
    let request = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-padding: {padding}\r\n\r\n");
    let answer = ask(TcpStream::connect(server.addr).unwrap(), &request);
    assert_eq!(answer.status, 431, "{answer:?}");
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let server = Visavis::start(&["--connections-per-address", "2"]);
    let mut held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(server.addr).unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            assert!(stream.read(&mut [0; 1_000]).unwrap() > 0);
            stream
        })
        .collect();
    let mut third = TcpStream::connect(server.addr).unwrap();
    third.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    third.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: "), "{answer}");
    let first = held.first_mut().unwrap();
    first.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(first.read(&mut [0; 1_000]).unwrap() > 0);
}
