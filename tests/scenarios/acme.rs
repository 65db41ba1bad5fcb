//! Certificates ordered from a directory: `pebble`, and one of our own that refuses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "what fails here fails the test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use signaling_transport::net::self_signed;
use tempfile::TempDir;
use tests::{Visavis, ask, free_port};

/// The name that the certificates are for. The directory's DNS server says that every name leads to this machine.
const NAME: &str = "calls.example";

/// A program that is ended on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `pebble` with its DNS server.
struct Pebble {
    folder: TempDir,
    port: u16,
    management: u16,
    /// The port at which it checks by TLS-ALPN-01.
    tls_port: u16,
    http_port: u16,
    running: Vec<Running>,
}

impl Pebble {
    /// One whose certificates last for so many seconds; [`Self::start`] starts it.
    fn new(lifetime: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        fs::write(folder.path().join("own.pem"), self_signed::make(&names, now()).unwrap().pem).unwrap();
        let [port, management, tls_port, http_port] = std::array::from_fn(|_| free_port());
        let own = folder.path().join("own.pem");
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": own, "privateKey": own,
            "httpPort": http_port, "tlsPort": tls_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": lifetime,
        }});
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Self { folder, port, management, tls_port, http_port, running: Vec::new() }
    }

    fn start(mut self) -> Self {
        let dns = format!("127.0.0.1:{}", free_port());
        let management = format!("127.0.0.1:{}", free_port());
        let mut names = Command::new("pebble-challtestsrv");
        names.args([
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-dns01",
            &dns,
            "-management",
            &management,
        ]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        self.run(names);
        let mut pebble = Command::new("pebble");
        pebble.args(["-dnsserver", &dns, "-config"]).arg(self.folder.path().join("config.json"));
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        self.run(pebble);
        for port in [self.port, self.management] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {}
        }
        self
    }

    fn run(&mut self, mut command: Command) {
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.running.push(Running(started.expect("apt-get install pebble")));
    }

    /// A server that orders from it.
    fn server(&self, folder: &Arc<TempDir>, arguments: &[&str]) -> Visavis {
        let directory = format!("https://localhost:{}/dir", self.port);
        let listen = format!("127.0.0.1:{}", self.tls_port);
        let url = format!("https://{NAME}");
        let own = ["--tls", "acme", "--acme-email", "admin@calls.example", "--acme-directory", &directory];
        let place = ["--listen", &*listen, "--public-url", &url];
        let trusted = self.folder.path().join("own.pem");
        let environment = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
        Visavis::start_with(Arc::clone(folder), &[&own[..], &place, arguments].concat(), &environment)
    }

    /// The authority that it signs with.
    fn root(&self) -> Vec<u8> {
        let own = fs::read(self.folder.path().join("own.pem")).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", self.management)).unwrap();
        let stream = StreamOwned::new(client(&own, "localhost"), stream);
        ask(stream, "GET /roots/0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").body.into_bytes()
    }
}

#[allow(clippy::disallowed_methods, reason = "the client checks certificates against the real clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn client(root: &[u8], name: &str) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap()
}

/// A connection by TLS that trusts only this authority, with the certificate that the server shows.
fn connect(
    address: std::net::SocketAddr,
    root: &[u8],
) -> std::io::Result<(StreamOwned<ClientConnection, TcpStream>, Vec<u8>)> {
    let mut stream = StreamOwned::new(client(root, NAME), TcpStream::connect(address).unwrap());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let leaf = stream.conn.peer_certificates().unwrap()[0].to_vec();
    Ok((stream, leaf))
}

/// Whether the server answers on a connection that stays open.
fn is_answered(stream: &mut (impl Read + Write)) -> bool {
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: calls.example\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") && !answer.ends_with(b"ok") {
        let mut buffer = [0; 1_024];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    answer.starts_with(b"HTTP/1.1 200")
}

/// Whether the relay answers a Binding request.
fn is_bound(stream: &mut (impl Read + Write)) -> bool {
    stream.write_all(&[&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat()).unwrap();
    let mut header = [0; 20];
    stream.read_exact(&mut header).unwrap();
    let mut rest = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]]))];
    stream.read_exact(&mut rest).unwrap();
    header[..2] == [1, 1]
}

fn kept(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("visavis-data").join(name)).unwrap_or_default()
}

#[test]
fn the_first_certificate_is_kept_and_serves_the_relay_too() {
    let pebble = Pebble::new(90 * 86_400).start();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = pebble.server(&folder, &[]);
    server.logged("certificate exchanged");
    let root = pebble.root();
    let (mut page, leaf) = connect(server.addr, &root).unwrap();
    assert!(is_answered(&mut page));
    // The shards of the relay take it over at their next turn.
    let relay = server.logged_addr("STUN and TURN ready");
    let mut stream = loop {
        match connect(relay, &root) {
            Ok((stream, same)) if same == leaf => break stream,
            _ => {}
        }
    };
    assert!(is_bound(&mut stream));
    let account = kept(folder.path(), "acme-account.json");
    assert!(account.contains("credentials"), "{account}");
    drop(server);
    // The next start needs neither the directory nor another certificate.
    drop(pebble.running);
    let pebble = Pebble { running: Vec::new(), ..pebble };
    let server = pebble.server(&folder, &[]);
    assert_eq!(connect(server.addr, &root).unwrap().1, leaf);
    assert_eq!(connect(server.logged_addr("STUN and TURN ready"), &root).unwrap().1, leaf);
    assert_eq!(kept(folder.path(), "acme-account.json"), account);
}

#[test]
fn the_directory_may_check_over_plain_http() {
    let pebble = Pebble::new(90 * 86_400).start();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let port = pebble.http_port.to_string();
    let server = pebble.server(&folder, &["--acme-http-listen", &format!("127.0.0.1:{port}")]);
    server.logged("certificate exchanged");
    assert!(connect(server.addr, &pebble.root()).is_ok());
    let plain = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
        ask(TcpStream::connect(("127.0.0.1", pebble.http_port)).unwrap(), &request)
    };
    let answer = plain("/r/standup?name=Ada");
    assert_eq!((answer.status, answer.header("location")), (307, "https://calls.example/r/standup?name=Ada"));
    assert_eq!(plain("/.well-known/acme-challenge/x").status, 404);
}

#[test]
fn a_renewal_disturbs_no_connection() {
    // It is renewed when a third of this is left.
    let pebble = Pebble::new(9).start();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = pebble.server(&folder, &["--new-connections-per-second", "0"]);
    server.logged("certificate exchanged");
    let root = pebble.root();
    let (mut page, first) = connect(server.addr, &root).unwrap();
    let relay = server.logged_addr("STUN and TURN ready");
    let mut relayed = loop {
        if let Ok((stream, leaf)) = connect(relay, &root)
            && leaf == first
        {
            break stream;
        }
    };
    // Requests go on while the certificate is exchanged, on connections that stay.
    while connect(server.addr, &root).unwrap().1 == first {
        assert!(is_answered(&mut page) && is_bound(&mut relayed));
    }
    assert!(is_answered(&mut page) && is_bound(&mut relayed));
    // The relay follows.
    while connect(relay, &root).is_ok_and(|(_, leaf)| leaf == first) {}
}

#[test]
fn a_directory_that_is_down_is_asked_again_later_even_after_a_restart() {
    let pebble = Pebble::new(90 * 86_400);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = pebble.server(&folder, &[]);
    server.logged("no certificate from the directory");
    // The page is served with the self-signed certificate meanwhile.
    let made = kept(folder.path(), "self-made-certificate.pem");
    let mut stream =
        StreamOwned::new(client(made.as_bytes(), "localhost"), TcpStream::connect(server.addr).unwrap());
    assert!(is_answered(&mut stream));
    let attempts = || serde_json::from_str::<Value>(&kept(folder.path(), "acme-attempts.json"));
    let once = loop {
        if let Ok(attempts) = attempts() {
            break attempts;
        }
    };
    assert_eq!(once["schedule"]["failures"], 1, "{once}");
    drop(server);
    // It is up again, but not asked before its time.
    let pebble = pebble.start();
    let server = pebble.server(&folder, &[]);
    server.terminate();
    let (_, log) = server.wait();
    let is_order = |event: &Value| event["message"] == "ordering a certificate";
    assert!(!log.iter().any(is_order), "{log:?}");
    assert_eq!(attempts().unwrap(), once);
    // When that has come, the certificate is there.
    let due = json!({ "directory": once["directory"], "name": once["name"], "schedule": { "failures": 1, "not_before": 1 } });
    fs::write(folder.path().join("visavis-data/acme-attempts.json"), due.to_string()).unwrap();
    let server = pebble.server(&folder, &[]);
    server.logged("certificate exchanged");
    assert!(connect(server.addr, &pebble.root()).is_ok());
}

/// A directory that refuses the first nonce, and every order for being one too many. Reports the paths asked for.
fn strict_directory() -> (u16, String, Receiver<String>) {
    let made = self_signed::make(&["localhost".to_owned()], now()).unwrap().pem;
    let certificate = CertificateDer::from_pem_slice(made.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let (asked, paths) = sync_channel(100);
    let has_refused = Mutex::new(false);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream =
                StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            let mut reader = BufReader::new(stream);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                    break;
                }
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let Some(path) = head.split(' ').nth(1) else { continue };
            let base = format!("https://localhost:{port}");
            let problem =
                |kind: &str| json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": kind });
            let (status, more, body) = match path {
                "/dir" => (
                    "200 OK",
                    String::new(),
                    json!({
                        "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
                        "newOrder": format!("{base}/order"),
                    }),
                ),
                "/nonce" => ("200 OK", String::new(), Value::Null),
                "/account" if !std::mem::replace(&mut *has_refused.lock().unwrap(), true) => {
                    ("400 Bad Request", String::new(), problem("badNonce"))
                }
                "/account" => {
                    ("201 Created", format!("location: {base}/account/1\r\n"), json!({ "status": "valid" }))
                }
                _ => ("429 Too Many Requests", "retry-after: 7200\r\n".to_owned(), problem("rateLimited")),
            };
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = format!(
                "HTTP/1.1 {status}\r\nreplay-nonce: bm9uY2U\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let stream = reader.get_mut();
            stream.write_all(answer.as_bytes()).unwrap();
            stream.conn.send_close_notify();
            let _ = stream.flush();
            asked.send(path.to_owned()).unwrap();
        }
    });
    (port, made, paths)
}

#[test]
fn a_bad_nonce_is_tried_again_and_a_limit_is_waited_out() {
    let (port, made, paths) = strict_directory();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, made).unwrap();
    let directory = format!("https://localhost:{port}/dir");
    let url = format!("https://{NAME}");
    let arguments = [
        "--tls",
        "acme",
        "--acme-email",
        "a@b.example",
        "--acme-directory",
        &directory,
        "--public-url",
        &url,
    ];
    let environment = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let server = Visavis::start_with(Arc::clone(&folder), &arguments, &environment);
    server.logged("no certificate from the directory");
    server.terminate();
    let (_, log) = server.wait();
    let refusal = log.iter().find(|event| event["message"] == "no certificate from the directory").unwrap();
    assert!(refusal["error"].as_str().unwrap().contains("rateLimited"), "{refusal}");
    assert_eq!(refusal["again_in_minutes"], 120, "{refusal}");
    let asked: Vec<_> = paths.try_iter().collect();
    let times = |path: &str| asked.iter().filter(|asked| *asked == path).count();
    assert_eq!((times("/account"), times("/order")), (2, 1), "{asked:?}");
    // The account is kept for the next attempt.
    assert!(kept(folder.path(), "acme-account.json").contains("/account/1"));
}
