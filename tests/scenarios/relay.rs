//! The built-in relay, by the program's own credentials, and what becomes of it while the server drains.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, method};
use stun_turn::{IntegrityAlgorithm, Key, PasswordAlgorithm};
use tests::{Visavis, get, run};

/// Long after everything that is waited for: only a failure takes so long.
const FAR_TOO_LONG: Duration = Duration::from_mins(1);

/// A client with credentials that `visavis turn-credentials` printed.
struct Client {
    socket: UdpSocket,
    username: String,
    key: Key,
    nonce: Vec<u8>,
    transactions: u8,
}

impl Client {
    fn new(server: &Visavis) -> Self {
        let output = run(server.folder().path(), &["turn-credentials", "--user", "tool"], &[]);
        let printed = String::from_utf8(output.stdout).unwrap();
        let line =
            |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let (username, password) = (line("username"), line("password"));
        let key = Key::new(PasswordAlgorithm::Md5, username.as_bytes(), b"visavis", password.as_bytes());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.logged_addr("STUN and TURN ready")).unwrap();
        socket.set_read_timeout(Some(FAR_TOO_LONG)).unwrap();
        Self { socket, username, key, nonce: Vec::new(), transactions: 0 }
    }

    /// Asks for a relay: the answer, or the error code with it.
    fn allocate(&mut self) -> Result<Vec<u8>, (u16, Vec<u8>)> {
        loop {
            self.transactions += 1;
            let mut request =
                MessageBuilder::request(method::ALLOCATE, TransactionId([self.transactions; 12]));
            request.bytes(attr::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            request.bytes(attr::USERNAME, self.username.as_bytes());
            request.bytes(attr::REALM, b"visavis");
            request.bytes(attr::NONCE, &self.nonce);
            self.socket.send(&request.finish(Some((&self.key, IntegrityAlgorithm::Sha1)))).unwrap();
            let mut answer = vec![0; 1_500];
            let length = self.socket.recv(&mut answer).unwrap();
            answer.truncate(length);
            let Some((_, error)) = attributes(&answer).find(|(kind, _)| *kind == attr::ERROR_CODE) else {
                return Ok(answer);
            };
            let code = u16::from(error[2]) * 100 + u16::from(error[3]);
            let nonce = attributes(&answer).find(|(kind, _)| *kind == attr::NONCE);
            match nonce {
                Some((_, nonce)) if matches!(code, 401 | 438) && nonce != self.nonce => {
                    self.nonce = nonce.to_vec();
                }
                _ => return Err((code, answer)),
            }
        }
    }

    /// The refusal that a server gives as soon as it drains; until then it makes relays.
    fn refused(server: &Visavis) -> (u16, Vec<u8>) {
        loop {
            if let Err(refusal) = Self::new(server).allocate() {
                return refusal;
            }
        }
    }
}

#[test]
fn credentials_for_tools_open_relays() {
    let server = Visavis::start(&[]);
    let answer = Client::new(&server).allocate().unwrap();
    assert!(attributes(&answer).any(|(kind, _)| kind == attr::XOR_RELAYED_ADDRESS));
    let mut forger = Client::new(&server);
    forger.key = Key::new(PasswordAlgorithm::Md5, forger.username.as_bytes(), b"visavis", b"a guess");
    assert_eq!(forger.allocate().unwrap_err().0, 401);
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
    assert_eq!(drained(&[]).0, 508);
    let (code, answer) =
        drained(&["--turn-alternate", "198.51.100.8:3479", "--turn-alternate", "[2001:db8::8]:3479"]);
    assert_eq!(code, 300);
    let (_, alternate) = attributes(&answer).find(|(kind, _)| *kind == attr::ALTERNATE_SERVER).unwrap();
    let [_, family, p0, p1, a, b, c, d] = *alternate else { unreachable!("an address of IPv4") };
    assert_eq!(family, 1);
    let told = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([p0, p1])));
    assert_eq!(told, "198.51.100.8:3479".parse().unwrap());
}
