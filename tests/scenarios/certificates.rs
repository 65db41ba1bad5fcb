//! Certificates, self-signed or supplied by the operator.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use signaling_transport::net::self_signed;
use tests::{Visavis, ask, get, run};

#[test]
fn https_works_on_the_same_port_with_one_certificate_over_restarts() {
    let first = Visavis::start(&[]);
    let folder = first.folder();
    let pem = fs::read(folder.path().join("visavis-data/self-made-certificate.pem")).unwrap();
    for name in ["localhost", "127.0.0.1"] {
        assert_eq!(https(&first, &pem, name), 200, "{name}");
    }
    assert_eq!(get(first.addr, "/livez").status, 200);
    drop(first);
    let second = Visavis::start_in(folder, &[]);
    assert_eq!(https(&second, &pem, "localhost"), 200);
}

#[test]
fn files_are_read_again_on_sighup_and_broken_ones_change_nothing() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let write = |pem: &str| {
        for name in ["chain.pem", "key.pem"] {
            fs::write(folder.path().join(name), pem).unwrap();
        }
    };
    let first = made();
    write(&first);
    let files = ["--tls-cert", "chain.pem", "--tls-key", "key.pem"];
    let server = Visavis::start_in(Arc::clone(&folder), &files);
    assert_eq!(https(&server, first.as_bytes(), "localhost"), 200);
    assert!(turns(&server, first.as_bytes()));

    write("nonsense");
    server.signal(Signal::HUP);
    server.logged("certificate not exchanged");
    assert_eq!(https(&server, first.as_bytes(), "localhost"), 200);

    let second = made();
    write(&second);
    server.signal(Signal::HUP);
    server.logged("certificate exchanged");
    assert_eq!(https(&server, second.as_bytes(), "localhost"), 200);
    // TURN's shards reload it at their next turn.
    while !turns(&server, second.as_bytes()) {}
}

/// A Binding request, and whether its answer comes back.
fn is_bound(stream: &mut (impl std::io::Read + std::io::Write)) -> bool {
    stream.write_all(&[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat()).unwrap();
    let mut header = [0; 20];
    stream.read_exact(&mut header).unwrap();
    let mut rest = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]]))];
    stream.read_exact(&mut rest).unwrap();
    header.starts_with(&[1, 1])
}

#[test]
fn the_relay_is_on_the_port_of_the_page_too() {
    let server = Visavis::start(&[]);
    let pem = fs::read(server.folder().path().join("visavis-data/self-made-certificate.pem")).unwrap();
    assert!(is_bound(&mut TcpStream::connect(server.addr).unwrap()), "plain");
    for protocols in [&[][..], &[b"stun.turn".to_vec()]] {
        let mut config = client_config(&pem);
        config.alpn_protocols = protocols.to_vec();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(server.addr).unwrap());
        assert!(is_bound(&mut stream), "{protocols:?}");
        assert!(is_bound(&mut stream), "the connection lasts");
    }
    assert_eq!(https(&server, &pem, "localhost"), 200, "HTTP is told apart from it");
    assert_eq!(get(server.addr, "/livez").status, 200);
}

#[test]
fn files_that_are_missing_or_broken_are_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    for (chain, told) in [("none.pem", "none.pem"), ("key.pem", "--tls-cert")] {
        let output = run(
            folder.path(),
            &["--listen", "127.0.0.1:0", "--tls-cert", chain, "--tls-key", "key.pem"],
            &[],
        );
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(told));
    }
}

#[test]
fn a_file_without_a_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pem = made();
    let key = &pem[..pem.find("-----BEGIN CERT").unwrap()];
    fs::write(folder.path().join("no-chain.pem"), key).unwrap();
    fs::write(folder.path().join("key.pem"), key).unwrap();
    let files = ["--listen", "127.0.0.1:0", "--tls-cert", "no-chain.pem", "--tls-key", "key.pem"];
    let output = run(folder.path(), &files, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("no-chain.pem") && told.contains("no certificate"), "{told}");
}

#[test]
fn certificates_out_of_their_time_are_told_of_and_do_not_replace_better_ones() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let write = |pem: &str| {
        for name in ["chain.pem", "key.pem"] {
            fs::write(folder.path().join(name), pem).unwrap();
        }
    };
    let years = Duration::from_hours(24 * 366 * 2);
    let [expired, early] = [made_at(now() - years), made_at(now() + years)];
    let files = ["--tls-cert", "chain.pem", "--tls-key", "key.pem"];
    for (pem, words) in [(&expired, "has expired"), (&early, "is not yet valid")] {
        write(pem);
        let server = Visavis::start_in(Arc::clone(&folder), &files);
        server.terminate();
        let (_, log) = server.wait();
        let said = |event: &serde_json::Value| event["message"].as_str().unwrap().contains(words);
        assert!(log.iter().any(said), "{log:?}");
    }
    let good = made();
    write(&good);
    let server = Visavis::start_in(Arc::clone(&folder), &files);
    for pem in [&expired, &early] {
        write(pem);
        server.signal(Signal::HUP);
        let words = if *pem == expired { "has expired" } else { "is not yet valid" };
        server.logged_with(&["certificate not exchanged", words]);
        assert_eq!(https(&server, good.as_bytes(), "localhost"), 200);
    }
    let other = made();
    write(&other);
    server.signal(Signal::HUP);
    server.logged("certificate exchanged");
    assert_eq!(https(&server, other.as_bytes(), "localhost"), 200);
}

#[test]
fn a_half_written_certificate_is_made_anew_with_its_key() {
    let folder = Visavis::start(&[]).folder();
    let path = folder.path().join("visavis-data/self-made-certificate.pem");
    let first = fs::read_to_string(&path).unwrap();
    fs::write(&path, &first[..first.len() - 100]).unwrap();
    let server = Visavis::start_in(Arc::clone(&folder), &[]);
    server.logged("the self-signed certificate is broken: it is made anew");
    let again = fs::read_to_string(&path).unwrap();
    let key = |pem: &str| {
        pem[pem.find("-----BEGIN PRIV").unwrap()..pem.find("-----BEGIN CERT").unwrap()].to_owned()
    };
    assert_eq!(key(&again), key(&first));
    assert_eq!(https(&server, again.as_bytes(), "localhost"), 200);
}

/// A certificate for localhost and its key, as an operator might supply them.
fn made() -> String {
    made_at(now())
}

/// The same, with another time of creation.
fn made_at(at: SystemTime) -> String {
    self_signed::make(&["localhost".to_owned()], at).unwrap().pem
}

#[allow(clippy::disallowed_methods, reason = "the client checks certificates against the real clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The status of `GET /livez`, for a client that trusts only this certificate.
fn https(server: &Visavis, pem: &[u8], name: &str) -> u16 {
    let stream = StreamOwned::new(client(pem, name), TcpStream::connect(server.addr).unwrap());
    ask(stream, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").status
}

/// Whether a client that trusts only this certificate can establish TLS with the TURN server.
fn turns(server: &Visavis, pem: &[u8]) -> bool {
    let mut stream = TcpStream::connect(server.logged_addr("STUN and TURN ready")).unwrap();
    let mut connection = client(pem, "localhost");
    while connection.is_handshaking() {
        if connection.complete_io(&mut stream).is_err() {
            return false;
        }
    }
    true
}

fn client(pem: &[u8], name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    ClientConnection::new(Arc::new(client_config(pem)), name).unwrap()
}

/// A client that trusts only this certificate.
fn client_config(pem: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
