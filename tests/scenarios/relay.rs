//! The built-in relay, with the server's own credentials, and its behaviour while the server drains.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use stun_turn::testing::{Refused, User};
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, attributes, method};
use tests::{Visavis, get, run};

/// Much longer than any expected wait: reached only on failure.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);

/// Protocol numbers in REQUESTED-TRANSPORT.
const UDP: u8 = 17;
const TCP: u8 = 6;

/// A client with credentials that `visavis turn-credentials` printed.
struct Client {
    socket: UdpSocket,
    user: User,
}

impl Client {
    fn new(server: &Visavis) -> Self {
        let (username, password) = printed(server);
        Self::with(server, User::new(&username, &password))
    }

    fn with(server: &Visavis, user: User) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.logged_addr("STUN and TURN ready")).unwrap();
        socket.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
        Self { socket, user }
    }

    /// Requests an allocation.
    fn allocate(&mut self) -> Result<Vec<u8>, Refused> {
        self.allocate_with(|_| {})
    }

    fn allocate_with(&mut self, extend: impl Fn(&mut MessageBuilder)) -> Result<Vec<u8>, Refused> {
        let Self { socket, user } = self;
        let fill = |request: &mut MessageBuilder| {
            request.bytes(attr::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
            extend(request);
        };
        user.request(method::ALLOCATE, fill, |message| {
            socket.send(message).unwrap();
            let mut answer = vec![0; 1_500];
            let length = socket.recv(&mut answer).unwrap();
            answer.truncate(length);
            answer
        })
    }

    /// The refusal that a server sends once it drains; until then it creates relays.
    fn refused(server: &Visavis) -> Refused {
        loop {
            if let Err(refusal) = Self::new(server).allocate() {
                return refusal;
            }
        }
    }
}

/// A user name and a password for tools.
fn printed(server: &Visavis) -> (String, String) {
    let output = run(server.folder().path(), &["turn-credentials", "--user", "tool"], &[]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let line =
        |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    (line("username"), line("password"))
}

#[test]
fn credentials_for_tools_open_relays() {
    let server = Visavis::start(&[]);
    let answer = Client::new(&server).allocate().unwrap();
    assert!(attributes(&answer).any(|(kind, _)| kind == attr::XOR_RELAYED_ADDRESS));
    let mut forger = Client::with(&server, User::new(&printed(&server).0, "a guess"));
    assert_eq!(forger.allocate().unwrap_err().code, 401);
}

/// Requests a TCP allocation, over TCP.
fn allocate_tcp(server: &Visavis) -> Result<Vec<u8>, Refused> {
    let (username, password) = printed(server);
    let mut stream = TcpStream::connect(server.logged_addr("STUN and TURN ready")).unwrap();
    stream.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
    let fill = |request: &mut MessageBuilder| request.bytes(attr::REQUESTED_TRANSPORT, &[TCP, 0, 0, 0]);
    User::new(&username, &password).request(method::ALLOCATE, fill, |message| {
        stream.write_all(message).unwrap();
        let mut answer = vec![0; 20];
        stream.read_exact(&mut answer).unwrap();
        answer.resize(20 + usize::from(u16::from_be_bytes([answer[2], answer[3]])), 0);
        stream.read_exact(&mut answer[20..]).unwrap();
        answer
    })
}

#[test]
fn tcp_relays_and_mobility_are_there_for_the_asking() {
    let has = |answer: &[u8], wanted| attributes(answer).any(|(kind, _)| kind == wanted);
    let mobile = |server: &Visavis| {
        let answer = Client::new(server).allocate_with(|message| message.bytes(attr::MOBILITY_TICKET, &[]));
        answer.is_ok_and(|answer| has(&answer, attr::MOBILITY_TICKET))
    };
    let plain = Visavis::start(&[]);
    assert_eq!(allocate_tcp(&plain).unwrap_err().code, 442);
    assert!(!mobile(&plain));
    let extended = Visavis::start(&["--turn-tcp-relays", "--turn-mobility"]);
    assert!(has(&allocate_tcp(&extended).unwrap(), attr::XOR_RELAYED_ADDRESS));
    assert!(mobile(&extended));
}

#[test]
fn while_it_drains_new_relays_are_refused_or_sent_elsewhere() {
    let drained = |arguments: &[&str]| {
        // Long enough for any machine: the server is killed at the end.
        let server = Visavis::start(&[&["--drain-delay", "3600"], arguments].concat());
        assert!(Client::new(&server).allocate().is_ok());
        server.terminate();
        let refusal = Client::refused(&server);
        assert_eq!(get(server.addr, "/livez").status, 200);
        refusal
    };
    assert_eq!(drained(&[]).code, 508);
    let Refused { code, answer } =
        drained(&["--turn-alternate", "198.51.100.8:3479", "--turn-alternate", "[2001:db8::8]:3479"]);
    assert_eq!(code, 300);
    let (_, alternate) = attributes(&answer).find(|(kind, _)| *kind == attr::ALTERNATE_SERVER).unwrap();
    let [_, family, p0, p1, a, b, c, d] = *alternate else { unreachable!("an address of IPv4") };
    assert_eq!(family, 1);
    let told = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([p0, p1])));
    assert_eq!(told, "198.51.100.8:3479".parse().unwrap());
}
