//! The built-in relay, by the program's own credentials, and what becomes of it while the server drains.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use stun_turn::testing::{Refused, User};
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, attributes, method};
use tests::{Visavis, get, run};

/// Long after everything that is waited for: only a failure takes so long.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);

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

    /// Asks for a relay.
    fn allocate(&mut self) -> Result<Vec<u8>, Refused> {
        let Self { socket, user } = self;
        let fill = |request: &mut MessageBuilder| request.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        user.request(method::ALLOCATE, fill, |message| {
            socket.send(message).unwrap();
            let mut answer = vec![0; 1_500];
            let length = socket.recv(&mut answer).unwrap();
            answer.truncate(length);
            answer
        })
    }

    /// The refusal that a server gives as soon as it drains; until then it makes relays.
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
