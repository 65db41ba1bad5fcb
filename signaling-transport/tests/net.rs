//! The accept loop over real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::routing::{any, get, post};
use axum::{Router, body::Body, http::Request, response::Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use signaling_transport::net::{
    AddressLimits, Certificates, ClientAddr, ConnectionPlace, MediaConnection, MediaListener, PlainHttp,
    Server, ServerConfig, Shutdown, TrustedProxies, self_signed,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Longer than any test takes.
const LONG: Duration = Duration::from_mins(10);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<Shutdown>,
    /// A request to `/wait` has arrived.
    waiting: Arc<Notify>,
    /// Releases one request to `/wait`.
    release: Arc<Notify>,
}

impl Running {
    fn start(config: ServerConfig, drain: Duration) -> Self {
        let waiting = Arc::new(Notify::new());
        let release = Arc::new(Notify::new());
        let router = Router::new()
            .route(
                "/who",
                get(|Extension(client): Extension<ClientAddr>| async move {
                    format!("{} {} {}", client.ip, client.secure, client.origin().unwrap_or_default())
                }),
            )
            .route(
                "/wait",
                get(|State((waiting, release)): State<(Arc<Notify>, Arc<Notify>)>| async move {
                    waiting.notify_one();
                    release.notified().await;
                    "waited"
                }),
            )
            .route("/length", post(async |body: Bytes| body.len().to_string()))
            .route("/upgrade", any(upgrade))
            .with_state((Arc::clone(&waiting), Arc::clone(&release)));
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), config).unwrap();
        let address = server.local_addr();
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(server.serve(router, shutdown.clone(), drain));
        Self { address, shutdown, ended, waiting, release }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Echoes bytes after an upgrade.
async fn upgrade(request: Request<Body>) -> Response {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let switching = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
    switching.body(Body::empty()).unwrap()
}

async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, path: &str, headers: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost:8080\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Posts a body of this size; the answer, to the end of the connection.
async fn submit(mut stream: TcpStream, bytes: usize) -> String {
    let head = format!("POST /length HTTP/1.1\r\nhost: localhost:8080\r\ncontent-length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'a'; bytes]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Checks the answer to a connection over its address's limit.
fn assert_is_refused(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(body(answer).contains("\"code\":\"rate-limited\""), "{answer}");
}

/// Whether the server closed the connection without sending anything.
async fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]).await {
        Ok(read) => read == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

fn certificates() -> (Certificates, String) {
    let made = self_signed::make(&["localhost".to_owned()], now()).unwrap();
    (Certificates::from_pem(made.pem.as_bytes(), made.pem.as_bytes()).unwrap(), made.pem)
}

#[allow(clippy::disallowed_methods, reason = "the client checks the certificate against the real clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

async fn tls(
    stream: TcpStream,
    trusted_pem: &str,
    alpn: &[u8],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test]
async fn http_and_https_share_one_port() {
    let (certificates, pem) = certificates();
    let server =
        Running::start(ServerConfig { certificates: Some(certificates), ..Default::default() }, LONG);
    assert_eq!(body(&ask(server.connect().await, "/who", "").await), "127.0.0.1 false http://localhost:8080");
    let stream = tls(server.connect().await, &pem, b"http/1.1").await.unwrap();
    assert_eq!(body(&ask(stream, "/who", "").await), "127.0.0.1 true https://localhost:8080");
}

#[tokio::test]
async fn https_speaks_http2_when_the_client_does() {
    let (certificates, pem) = certificates();
    let server =
        Running::start(ServerConfig { certificates: Some(certificates), ..Default::default() }, LONG);
    let stream = tls(server.connect().await, &pem, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/who").body(Body::empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let bytes = axum::body::to_bytes(Body::new(answer.into_body()), 1_000).await.unwrap();
    assert_eq!(bytes, "127.0.0.1 true https://localhost");
}

#[tokio::test]
async fn a_handshake_is_refused_where_tls_is_off() {
    let server = Running::start(ServerConfig::default(), LONG);
    let (_, pem) = certificates();
    assert!(tls(server.connect().await, &pem, b"http/1.1").await.is_err());
    assert_eq!(body(&ask(server.connect().await, "/who", "").await), "127.0.0.1 false http://localhost:8080");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections() {
    let (certificates, old) = certificates();
    let server =
        Running::start(ServerConfig { certificates: Some(certificates.clone()), ..Default::default() }, LONG);
    let living = tls(server.connect().await, &old, b"http/1.1").await.unwrap();
    let new = self_signed::make(&["localhost".to_owned()], now()).unwrap().pem;
    certificates.replace(new.as_bytes(), new.as_bytes()).unwrap();
    assert!(tls(server.connect().await, &old, b"http/1.1").await.is_err());
    tls(server.connect().await, &new, b"http/1.1").await.unwrap();
    assert!(ask(living, "/who", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn whoever_is_slow_with_a_first_byte_a_handshake_or_a_header_is_cut_off() {
    let (certificates, pem) = certificates();
    let header_timeout = Duration::from_millis(200);
    let config = ServerConfig { certificates: Some(certificates), header_timeout, ..Default::default() };
    let server = Running::start(config, LONG);
    // A request in progress is not disturbed.
    let patient = tokio::spawn(ask(server.connect().await, "/wait", ""));
    server.waiting.notified().await;

    for start in [&b""[..], b"\x16\x03\x01", b"GET /who HTTP/1.1\r\nhost: loc"] {
        let mut stream = server.connect().await;
        stream.write_all(start).await.unwrap();
        assert!(is_closed(&mut stream).await || is_closed(&mut stream).await, "after {start:?}");
    }
    // An HTTP/2 client that never sends its preface.
    let mut silent = tls(server.connect().await, &pem, b"h2").await.unwrap();
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;

    server.release.notify_one();
    assert_eq!(body(&patient.await.unwrap()), "waited");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let body_timeout = Duration::from_millis(200);
    let server = Running::start(ServerConfig { body_timeout, ..Default::default() }, LONG);
    let head = b"POST /length HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
    for (sent, status) in [(&b"whole"[..], "HTTP/1.1 200"), (b"part", "HTTP/1.1 400")] {
        let mut stream = server.connect().await;
        stream.write_all(head).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(status), "{answer}");
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let address_limits = AddressLimits { at_once: 2, per_second: 1_000, burst: 1_000 };
    let server = Running::start(ServerConfig { address_limits, ..Default::default() }, LONG);
    let mut held = server.connect().await;
    held.write_all(b"GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello")
        .await
        .unwrap();
    let mut seen = String::new();
    while !seen.ends_with("hello") {
        let mut chunk = [0; 256];
        let read = held.read(&mut chunk).await.unwrap();
        assert!(read > 0, "closed after {seen:?}");
        seen.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    assert!(seen.starts_with("HTTP/1.1 101"), "{seen}");
    // An upgraded connection counts as long as it lives.
    let waiting = tokio::spawn(ask(server.connect().await, "/wait", ""));
    server.waiting.notified().await;
    assert_is_refused(&submit(server.connect().await, 8_000).await);
    server.release.notify_one();
    assert_eq!(body(&waiting.await.unwrap()), "waited");
    // The place is free once the server has seen the end, which it shows by serving again.
    loop {
        let mut stream = server.connect().await;
        let sent = stream.write_all(b"GET /who HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let mut answer = String::new();
        if sent.is_ok()
            && stream.read_to_string(&mut answer).await.is_ok()
            && answer.starts_with("HTTP/1.1 200")
        {
            break;
        }
    }
}

#[tokio::test]
async fn an_address_makes_so_many_new_connections_and_no_more() {
    let address_limits = AddressLimits { at_once: 1_000, per_second: 1, burst: 3 };
    let server = Running::start(ServerConfig { address_limits, ..Default::default() }, LONG);
    let mut answered = 0;
    // A slow machine is answered once more each second.
    let refused = loop {
        let answer = ask(server.connect().await, "/who", "").await;
        if !answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
        answered += 1;
    };
    assert!(answered >= 3, "{answered}");
    assert_is_refused(&refused);
}

#[tokio::test]
async fn a_refusal_is_read_under_tls_as_well() {
    let (certificates, pem) = certificates();
    let config = ServerConfig {
        certificates: Some(certificates),
        plain_http: PlainHttp::RedirectOthers,
        address_limits: AddressLimits { at_once: 1, per_second: 0, burst: 0 },
        ..Default::default()
    };
    let server = Running::start(config, LONG);
    let held = tls(server.connect().await, &pem, b"http/1.1").await.unwrap();
    let refused = tls(server.connect().await, &pem, b"http/1.1").await.unwrap();
    assert_is_refused(&ask(refused, "/who", "").await);
    drop(held);
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_clients_and_is_not_counted() {
    let config = ServerConfig {
        trusted_proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
        address_limits: AddressLimits { at_once: 0, per_second: 0, burst: 0 },
        ..Default::default()
    };
    let server = Running::start(config, LONG);
    let told =
        "x-forwarded-for: 198.51.100.7\r\nx-forwarded-proto: https\r\nx-forwarded-host: calls.example\r\n";
    let answer = ask(server.connect().await, "/who", told).await;
    assert_eq!(body(&answer), "198.51.100.7 true https://calls.example");
}

#[tokio::test]
async fn plain_http_is_redirected_when_asked_for() {
    let server =
        Running::start(ServerConfig { plain_http: PlainHttp::RedirectOthers, ..Default::default() }, LONG);
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /who?a=b HTTP/1.1\r\nhost: calls.example\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 307"), "{answer}");
    assert!(answer.contains("location: https://calls.example/who?a=b\r\n"), "{answer}");
}

#[tokio::test]
async fn the_end_waits_for_requests_and_closes_idle_connections() {
    let server = Running::start(ServerConfig::default(), LONG);
    let mut idle = server.connect().await;
    idle.write_all(b"GET /who HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1_024]).await.unwrap() > 0);
    let working = tokio::spawn(ask(server.connect().await, "/wait", ""));
    server.waiting.notified().await;
    server.shutdown.cancel();
    assert!(is_closed(&mut idle).await);
    server.release.notify_one();
    assert_eq!(body(&working.await.unwrap()), "waited");
    assert_eq!(server.ended.await.unwrap(), Shutdown::Finished);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn the_end_comes_for_requests_without_one() {
    let server = Running::start(ServerConfig::default(), Duration::from_millis(50));
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.waiting.notified().await;
    server.shutdown.cancel();
    assert_eq!(server.ended.await.unwrap(), Shutdown::Cut(1));
    assert!(is_closed(&mut stuck).await);
}

/// Keeps the connections for media that it is given.
#[derive(Debug)]
struct Kept(tokio::sync::mpsc::Sender<(Vec<u8>, ConnectionPlace, std::net::TcpStream)>);

impl MediaListener for Kept {
    fn accept(&self, MediaConnection { socket, received, place }: MediaConnection) {
        self.0.try_send((received, place, socket)).unwrap();
    }
}

#[tokio::test]
async fn media_is_told_by_its_first_frame_and_keeps_its_place() {
    let (sender, mut accepted) = tokio::sync::mpsc::channel(8);
    let config = ServerConfig {
        media: Some(Arc::new(Kept(sender))),
        address_limits: AddressLimits { at_once: 1, per_second: 1_000, burst: 1_000 },
        ..Default::default()
    };
    let server = Running::start(config, LONG);
    let frame = [&[0, 24, 0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42][..], &[7; 16]].concat();
    let mut client = server.connect().await;
    // However the frame arrives.
    for byte in &frame {
        client.set_nodelay(true).unwrap();
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (received, place, socket) = accepted.recv().await.unwrap();
    assert_eq!(received, frame);
    // Its address has no second place.
    assert_is_refused(&ask(server.connect().await, "/who", "").await);
    drop(place);
    assert!(ask(server.connect().await, "/who", "").await.starts_with("HTTP/1.1 200"));
    // The end does not wait for it.
    server.shutdown.cancel();
    assert_eq!(server.ended.await.unwrap(), Shutdown::Finished);
    drop(socket);
}

#[tokio::test]
async fn what_only_begins_like_media_is_closed() {
    let (sender, mut accepted) = tokio::sync::mpsc::channel(8);
    let server =
        Running::start(ServerConfig { media: Some(Arc::new(Kept(sender))), ..Default::default() }, LONG);
    let too_long = [0x40, 0, 0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42];
    let lies = [7, 0xff, 0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42];
    let silent = [0, 24, 0, 1];
    for first in [&[0; 10][..], &too_long, &lies, &silent] {
        let mut client = server.connect().await;
        client.write_all(first).await.unwrap();
        // HTTP answers what is no media by far with an error.
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    }
    assert!(accepted.try_recv().is_err());
    assert!(ask(server.connect().await, "/who", "").await.starts_with("HTTP/1.1 200"));
}
