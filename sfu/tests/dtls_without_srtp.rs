//! A handshake without `use_srtp` (RFC 5764) ends the session, since there will never be keys for media.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "test code")]

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sfu::dtls::{DtlsError, DtlsEvent, Fingerprint, Handshake, Identity, Role};

/// Serves one handshake with OpenSSL's client; returns the error in which it ends, or `None` once there are keys.
fn handshake(arguments: &[&str]) -> Option<DtlsError> {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=client",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(&certificate)
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let expected = Fingerprint::parse(shown.trim().split_once('=').unwrap().1).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut client = Command::new("openssl")
        .args(["s_client", "-dtls1_2", "-connect", &socket.local_addr().unwrap().to_string(), "-cert"])
        .arg(&certificate)
        .arg("-key")
        .arg(&key)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let identity = Identity::generate().unwrap();
    let mut server = Handshake::new(&identity, Role::Server, expected, Instant::now());
    let (mut incoming, mut buf) = ([0; 2_048], vec![0; 2_048]);
    let mut peer = None;
    let end = 'handshake: loop {
        let received = match socket.recv_from(&mut incoming) {
            Ok((len, from)) => {
                peer = Some(from);
                server.handle_packet(Instant::now(), &incoming[..len])
            }
            Err(_) => server.handle_timeout(Instant::now()),
        };
        if let Err(error) = received {
            break Some(error);
        }
        loop {
            match server.poll(&mut buf) {
                Ok(DtlsEvent::Transmit(len)) => {
                    socket.send_to(&buf[..len], peer.unwrap()).unwrap();
                }
                Ok(DtlsEvent::Keys(..)) => break 'handshake None,
                Ok(DtlsEvent::Wait(_)) => break,
                Ok(DtlsEvent::Closed) => break 'handshake Some(DtlsError::Failed),
                Err(error) => break 'handshake Some(error),
            }
        }
    };
    client.kill().unwrap();
    client.wait().unwrap();
    end
}

#[test]
fn a_handshake_without_srtp_fails() {
    assert_eq!(handshake(&[]), Some(DtlsError::NoSrtp));
    assert_eq!(handshake(&["-use_srtp", "SRTP_AES128_CM_SHA1_80"]), None);
}
