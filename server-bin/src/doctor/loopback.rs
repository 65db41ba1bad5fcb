//! Whether the relay and the media server of the running server work, from this machine.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use stun_turn::credentials;
use stun_turn::testing::User;
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, check_stun, method};

use super::Finding;
use super::ports::Running;
use crate::config::{Listen, Settings};
use crate::data_dir::DataDir;
use crate::{keys, turn};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the credentials of a check are valid.
const VALID: Duration = Duration::from_mins(1);
/// An offer of one Opus track (RFC 8829), as a WHIP client makes it.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\na=ice-ufrag:doctor\r\na=ice-pwd:doctordoctordoctordoctor\r\na=setup:active\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";

pub(super) fn examine(settings: &Settings, running: &Running) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !settings.no_turn {
        findings.push(if running.is_there { relay(settings) } else { idle("relay") });
    }
    if !settings.no_sfu {
        findings.push(if running.is_there { media(settings) } else { idle("media-path") });
    }
    findings
}

fn idle(check: &'static str) -> Finding {
    Finding::unknown(check, "the server does not run")
}

/// An address of this machine at which the listener is reached.
pub(super) fn near(listen: &Listen) -> Option<SocketAddr> {
    let address = listen.resolve().ok().filter(|address| address.port() != 0)?;
    if !address.ip().is_unspecified() {
        return Some(address);
    }
    let has_v4 = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).is_ok();
    let ip = if has_v4 { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
    Some(SocketAddr::new(ip, address.port()))
}

/// Sends from one relay to another, through both.
fn relay(settings: &Settings) -> Finding {
    const CHECK: &str = "relay";
    let Some(server) = near(&settings.turn_listen) else {
        return Finding::unknown(CHECK, "--turn-listen does not tell the port");
    };
    let data = DataDir::unmade(&settings.data_dir);
    if settings.turn_secret.is_none() && !keys::is_there(settings, &data, "turn.key") {
        return Finding::unknown(CHECK, "there is no turn.key in --data-dir");
    }
    let passed = turn::secret(settings, &data).map_err(|error| format!("{error:#}")).and_then(|secret| {
        let first = Client::allocate(server, &secret)?;
        let second = Client::allocate(server, &secret)?;
        first.pass_to(second)
    });
    match passed {
        Ok(()) => Finding::fine(CHECK, format!("a packet went through two relays of {server}")),
        Err(why) => Finding::wrong(
            CHECK,
            format!("no packet comes through the relay at {server} ({why})"),
            "look at --turn-relay-ip, --turn-relay-ports and --external-ip",
        ),
    }
}

/// A client with a relay.
struct Client {
    socket: UdpSocket,
    user: User,
    relayed: SocketAddr,
}

impl Client {
    fn allocate(server: SocketAddr, secret: &str) -> Result<Self, String> {
        let pair = credentials::ephemeral(secret, "doctor", (clock::wall() + VALID).as_secs());
        let (socket, user) = (connected(server)?, User::new(&pair.username, &pair.password));
        let mut client = Self { socket, user, relayed: server };
        let answer = client.request(method::ALLOCATE, |message| {
            message.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        })?;
        client.relayed = address_in(&answer, attr::XOR_RELAYED_ADDRESS).ok_or("it gives no address")?;
        Ok(client)
    }

    fn request(&mut self, method: u16, fill: impl Fn(&mut MessageBuilder)) -> Result<Vec<u8>, String> {
        let Self { socket, user, .. } = self;
        let answered = user.request(method, fill, |message| exchange(socket, message).unwrap_or_default());
        answered.map_err(|refused| match refused.code {
            0 => "no answer".to_owned(),
            code => format!("refused with {code}"),
        })
    }

    fn permit(&mut self, peer: SocketAddr) -> Result<(), String> {
        self.request(method::CREATE_PERMISSION, |message| message.xor_address(attr::XOR_PEER_ADDRESS, peer))
            .map(drop)
    }

    fn pass_to(mut self, mut other: Self) -> Result<(), String> {
        self.permit(other.relayed)?;
        other.permit(self.relayed)?;
        let mut message = MessageBuilder::indication(method::SEND, TransactionId([7; 12]));
        message.xor_address(attr::XOR_PEER_ADDRESS, other.relayed);
        message.bytes(attr::DATA, b"doctor");
        let sent = self.socket.send(&message.finish(None)).map_err(|error| error.to_string());
        sent?;
        let received = receive(&other.socket).ok_or("nothing arrives at the second one")?;
        let is_there = attributes(&received).any(|(kind, value)| kind == attr::DATA && value == b"doctor");
        for client in [&mut self, &mut other] {
            // What cannot be given back expires.
            let _ = client.request(method::REFRESH, |message| message.bytes(attr::LIFETIME, &[0; 4]));
        }
        if is_there { Ok(()) } else { Err("something else arrives at the second one".to_owned()) }
    }
}

pub(super) fn connected(server: SocketAddr) -> Result<UdpSocket, String> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let open = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    open().map_err(|error: std::io::Error| error.to_string())
}

/// The answer to a message, which is sent twice at most.
pub(super) fn exchange(socket: &UdpSocket, message: &[u8]) -> Option<Vec<u8>> {
    (0..2).find_map(|_| {
        socket.send(message).ok()?;
        receive(socket)
    })
}

fn receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 2_048];
    let len = socket.recv(&mut buffer).ok()?;
    buffer.truncate(len);
    check_stun(&buffer).is_ok().then_some(buffer)
}

/// The address in an attribute that is combined with the transaction id.
pub(super) fn address_in(answer: &[u8], kind: u16) -> Option<SocketAddr> {
    let mask = attr::xor_mask(answer)?;
    let (_, value) = attributes(answer).find(|(found, _)| *found == kind)?;
    attr::read_xor_address(value, &mask)
}

/// Sends the media server a connectivity check, as a client that publishes over WHIP does.
fn media(settings: &Settings) -> Finding {
    const CHECK: &str = "media-path";
    if settings.media_port == 0 {
        return Finding::unknown(CHECK, "--media-port 0 is another one at each start");
    }
    let Some(page) = near(&settings.listen) else {
        return Finding::unknown(CHECK, "--listen does not tell the port");
    };
    let room = format!("/whip/doctor-{}", std::process::id());
    let answer = match http(page, "POST", &room, OFFER) {
        Ok(answer) if answer.starts_with("HTTP/1.1 201") => answer,
        Ok(answer) => {
            let status = answer.split(' ').nth(1).unwrap_or("none").to_owned();
            return Finding::unknown(CHECK, format!("a session by WHIP is answered with {status}"));
        }
        Err(error) => return Finding::unknown(CHECK, format!("no answer to WHIP ({error})")),
    };
    let finding = match check_at(SocketAddr::new(page.ip(), settings.media_port), &answer) {
        Some(address) => Finding::fine(CHECK, format!("the media server answers at {address}")),
        None => Finding::wrong(
            CHECK,
            format!("the media server does not answer at UDP {}", settings.media_port),
            "a packet filter of this machine is in between, or another program has the port",
        ),
    };
    if let Some(place) = header(&answer, "location") {
        // The session ends by itself otherwise.
        let _ = http(page, "DELETE", place, "");
    }
    finding
}

fn check_at(address: SocketAddr, answer: &str) -> Option<SocketAddr> {
    let line = |name: &str| answer.lines().find_map(|line| line.trim_end().strip_prefix(name));
    let mut message = [0; 256];
    let name = format!("{}:doctor", line("a=ice-ufrag:")?);
    let len = sfu::ice::write_check(&name, line("a=ice-pwd:")?, 7, false, &mut message)?;
    let answer = exchange(&connected(address).ok()?, message.get(..len)?)?;
    sfu::ice::is_success(&answer).then_some(address)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}

/// The whole answer of the server of this machine over plain http.
fn http(page: SocketAddr, verb: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&page, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let len = body.len();
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/sdp\r\nContent-Length: {len}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
