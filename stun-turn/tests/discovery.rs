//! Behaviour discovery (RFC 5780) over real sockets on two addresses of loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, to fail is to tell"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, method};
use stun_turn::{BehaviourDiscovery, Config, Features, Handle, Listener, Server};

/// So long that only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);
const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

struct Running {
    handle: Handle,
    threads: Vec<std::thread::JoinHandle<std::io::Result<()>>>,
    addresses: BehaviourDiscovery,
}

impl Running {
    /// Listens on `listen`, and on what discovery needs besides.
    fn start(listen: IpAddr) -> Self {
        loop {
            let (first, second) = free_ports();
            let addresses = BehaviourDiscovery {
                primary: SocketAddr::new(FIRST, first),
                alternate: SocketAddr::new(SECOND, second),
            };
            let config = Config {
                listeners: vec![
                    Listener::udp(SocketAddr::new(listen, first)),
                    Listener::tcp(SocketAddr::new(listen, first)),
                ],
                features: Features { behaviour_discovery: Some(addresses), ..Features::default() },
                shards: Some(2),
                ..Config::default()
            };
            // Somebody else may have taken a port meanwhile.
            let Ok(server) = Server::bind(&config) else { continue };
            let handle = server.handle();
            let threads = server
                .into_event_loops()
                .into_iter()
                .map(|event_loop| std::thread::spawn(|| event_loop.run()))
                .collect();
            return Self { handle, threads, addresses };
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        for thread in self.threads.drain(..) {
            thread.join().unwrap().unwrap();
        }
    }
}

fn free_ports() -> (u16, u16) {
    let sockets = [FIRST, SECOND].map(|ip| UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port());
    if sockets[0] == sockets[1] { free_ports() } else { (sockets[0], sockets[1]) }
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut answer = vec![0; 4_096];
    let (length, from) = socket.recv_from(&mut answer).expect("an answer");
    answer.truncate(length);
    (answer, from)
}

fn ask(socket: &UdpSocket, server: SocketAddr, fill: impl Fn(&mut MessageBuilder)) {
    let mut request = MessageBuilder::request(method::BINDING, TransactionId([7; 12]));
    fill(&mut request);
    socket.send_to(&request.finish(None), server).unwrap();
}

fn address(answer: &[u8], kind: u16) -> SocketAddr {
    let (_, value) = attributes(answer).find(|(found, _)| *found == kind).expect("the attribute");
    SocketAddr::from(([value[4], value[5], value[6], value[7]], u16::from_be_bytes([value[2], value[3]])))
}

fn error_code(answer: &[u8]) -> Option<u16> {
    let (_, value) = attributes(answer).find(|(kind, _)| *kind == attr::ERROR_CODE)?;
    Some(u16::from(value[2]) * 100 + u16::from(value[3]))
}

#[test]
fn answers_come_from_where_they_were_asked_for() {
    for listen in [FIRST, Ipv4Addr::UNSPECIFIED.into()] {
        let server = Running::start(listen);
        let all = server.addresses.addresses();
        for asked in all {
            for (flags, address_changes, port_changes) in
                [(0_u8, false, false), (2, false, true), (4, true, false), (6, true, true)]
            {
                let socket = client();
                ask(&socket, asked, |request| request.bytes(attr::CHANGE_REQUEST, &[0, 0, 0, flags]));
                let (answer, from) = receive(&socket);
                let expected = server.addresses.changed(asked, address_changes, port_changes);
                assert_eq!(from, expected, "{asked} asked with {flags}, listening on {listen}");
                assert_eq!(address(&answer, attr::RESPONSE_ORIGIN), expected);
                let other = address(&answer, attr::OTHER_ADDRESS);
                assert_eq!(other, server.addresses.changed(asked, true, true));
            }
        }
    }
}

#[test]
fn answers_go_to_another_port_with_as_much_padding_as_came() {
    let server = Running::start(FIRST);
    let (asking, listening) = (client(), client());
    ask(&asking, server.addresses.primary, |request| {
        request.bytes(
            attr::RESPONSE_PORT,
            &[&listening.local_addr().unwrap().port().to_be_bytes()[..], &[0; 2]].concat(),
        );
    });
    assert_eq!(receive(&listening).1, server.addresses.primary);
    ask(&asking, server.addresses.primary, |request| request.bytes(attr::PADDING, &[0; 1_400]));
    let (answer, _) = receive(&asking);
    let (_, padding) = attributes(&answer).find(|(kind, _)| *kind == attr::PADDING).unwrap();
    assert_eq!(padding.len(), 1_400);
}

#[test]
fn a_server_without_it_says_so() {
    let listener = Listener::udp(SocketAddr::new(FIRST, 0));
    let server =
        Server::bind(&Config { listeners: vec![listener], shards: Some(1), ..Config::default() }).unwrap();
    let handle = server.handle();
    let threads: Vec<_> = server
        .into_event_loops()
        .into_iter()
        .map(|event_loop| std::thread::spawn(|| event_loop.run()))
        .collect();
    let socket = client();
    ask(&socket, handle.listeners()[0].address, |request| request.bytes(attr::CHANGE_REQUEST, &[0, 0, 0, 6]));
    let (answer, _) = receive(&socket);
    assert_eq!(error_code(&answer), Some(420));
    ask(&socket, handle.listeners()[0].address, |_| {});
    let (answer, _) = receive(&socket);
    assert!(attributes(&answer).all(|(kind, _)| kind != attr::OTHER_ADDRESS));
    handle.stop();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}

/// Left out where coturn is not installed; with `REQUIRE_COTURN=1` in the environment that is a failure.
#[test]
fn the_tool_of_coturn_finds_no_nat_on_loopback() {
    let server = Running::start(FIRST);
    let primary = server.addresses.primary;
    let tool = Command::new("turnutils_natdiscovery")
        .args(["-m", "-f", "-P", "-p", &primary.port().to_string(), &primary.ip().to_string()])
        .output();
    let Ok(output) = tool else {
        assert!(std::env::var_os("REQUIRE_COTURN").is_none(), "turnutils_natdiscovery is not installed");
        eprintln!("turnutils_natdiscovery is not installed: nothing was tested");
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout);
    for finding in ["NAT with Endpoint Independent Mapping!", "NAT with Endpoint Independent Filtering!"] {
        assert!(told.contains(finding), "{told}");
    }
}
