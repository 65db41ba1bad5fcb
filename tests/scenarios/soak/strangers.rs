//! Clients that load pages, send nothing, or send invalid data.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tests::{Visavis, ask, get};

/// Number of connections held open at a time.
const HELD: usize = 50;

/// Unfinished requests: the server has to close these connections.
#[derive(Default)]
pub(crate) struct HalfOpen(VecDeque<TcpStream>);

impl HalfOpen {
    fn begin(&mut self, addr: SocketAddr, bytes: &[u8]) {
        let mut stream = TcpStream::connect(addr).unwrap();
        // A connection reset in between is a valid response.
        let _ = stream.write_all(bytes);
        self.0.push_back(stream);
        if self.0.len() > HELD {
            self.0.pop_front();
        }
    }

    /// A few of each kind, at the web server and at the relay.
    pub(crate) fn few(&mut self, web: SocketAddr, turn: SocketAddr, media: SocketAddr) {
        for bytes in
            [&b""[..], b"GET / HTTP/1.1\r\nhost: loc", b"\x16\x03\x01\x02\x00", b"\0\xff nonsense \r\n\r\n"]
        {
            self.begin(web, bytes);
        }
        for bytes in [&b""[..], b"\0\x03\0\x10\x21\x12", b"\xff nonsense"] {
            self.begin(turn, bytes);
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for bytes in [&b"nonsense"[..], b"\0\x01\0\x08\x21\x12\xa4\x42", &[0x16; 60], &[0x80; 60]] {
            for server in [turn, media] {
                socket.send_to(bytes, server).unwrap();
            }
        }
    }
}

/// A browser that trusts the server's certificate.
pub(crate) struct Browser {
    addr: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Browser {
    pub(crate) fn new(server: &Visavis) -> Self {
        let pem = fs::read(server.folder().path().join("visavis-data/self-made-certificate.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { addr: server.addr, tls: Arc::new(tls) }
    }

    /// Some pages by http, one by https.
    pub(crate) fn loads_pages(&self) {
        for (path, status) in
            [("/r/standup", 200), ("/check", 200), ("/api/v1/meetings", 401), ("/none", 404)]
        {
            assert_eq!(get(self.addr, path).status, status, "{path}");
        }
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let stream = StreamOwned::new(connection, TcpStream::connect(self.addr).unwrap());
        let answer = ask(stream, "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        assert_eq!(answer.status, 200);
    }
}
