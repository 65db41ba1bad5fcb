//! coturn's own client against this server: every transport, family and kind of request. Left out where it is not installed
//! (Debian: `apt-get install coturn`); with `REQUIRE_COTURN=1` in the environment that is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, to fail is to tell")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use stun_turn::{BindError, Certificate, Config, Features, Handle, Limits, Listener, Server};

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A port with a free one after it: the peer listens on two.
fn free_pair() -> u16 {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if first < u16::MAX && UdpSocket::bind(("127.0.0.1", first + 1)).is_ok() {
            return first;
        }
    }
}

fn start_peer() -> Option<(Peer, u16)> {
    loop {
        let port = free_pair();
        let child = Command::new("turnutils_peer")
            .args(["-L", "127.0.0.1", "-L", "::1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut peer = Peer(child);
        // It echoes as soon as it listens, and ends when somebody else took one of its ports.
        let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
        probe.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        probe.connect(("127.0.0.1", port)).unwrap();
        while peer.0.try_wait().unwrap().is_none() {
            if probe.send(b"there?").is_ok() && probe.recv(&mut [0; 16]).is_ok() {
                return Some((peer, port));
            }
        }
    }
}

/// A server that listens on one port over UDP and TCP, as the client expects it.
fn bind(features: Features, certificate: &Certificate) -> (Server, u16) {
    loop {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let addresses = addresses.map(|ip: IpAddr| SocketAddr::new(ip, port));
        let mut config = Config {
            listeners: [addresses.map(Listener::udp), addresses.map(Listener::tcp)].concat(),
            secrets: vec!["north".to_owned()],
            certificate: Some(certificate.clone()),
            features,
            limits: Limits {
                allocations_per_user: usize::MAX,
                allocations_per_address: usize::MAX,
                ..Limits::default()
            },
            ..Config::default()
        };
        config.policy.allowed = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        match Server::bind(&config) {
            Ok(server) => return (server, port),
            // Taken in the meantime, or over TCP.
            Err(BindError::Listen { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs the client and gives what it printed.
fn uclient(server: u16, peer: u16, options: &str) -> String {
    let (options, address) =
        options.strip_suffix(" over ::1").map_or((options, "127.0.0.1"), |options| (options, "::1"));
    let output = Command::new("turnutils_uclient")
        .args(["-n", "5", "-m", "2", "-l", "170", "-u", "bob", "-W", "north", "-X", "-g"])
        .args(["-r", &peer.to_string(), "-p", &server.to_string()])
        .args(if options.contains("::1") { &[][..] } else { &["-e", "127.0.0.1"][..] })
        .args(options.split_whitespace())
        .arg(address)
        .output()
        .expect("the peer of the same package ran");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn loses_nothing(handle: &Handle, server: u16, peer: u16, options: &str) {
    // Each of its connections begins with a random version of TLS, and the client gives up when one is no longer spoken; with
    // mobility, which connects once more, every other attempt. So it may begin again.
    let tries = if options.contains("-S") { 25 } else { 1 };
    let mut printed = String::new();
    let is_well = (0..tries).any(|_| {
        printed = uclient(server, peer, options);
        printed.contains("Total lost packets 0 (")
    });
    assert!(is_well, "turnutils_uclient {options}\n{printed}\n{:#?}", handle.metrics());
}

#[test]
fn the_client_of_coturn_loses_nothing() {
    let Some((_peer, peer_port)) = start_peer() else {
        assert!(std::env::var_os("REQUIRE_COTURN").is_none(), "turnutils_peer is not installed");
        eprintln!("turnutils_peer is not installed: nothing was tested");
        return;
    };
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate =
        Certificate::from_pem(signed.cert.pem().as_bytes(), signed.signing_key.serialize_pem().as_bytes())
            .unwrap();
    // Negative tests with channels end with the error that they provoke: `-N` goes with Send indications.
    let plain = "|-s|-y|-y -s|-x -e ::1|-x -y|-Z|-N -s|-B|-D|-G|-t|-t -s|-t -y|-t -D|-t -x -e ::1|\
                 -t -S|-t -S -s|-t -S -y|-t -S -D|-S|-S -s|-S -y|-S -N -s|-x -e ::1 over ::1|-t -S -x -y over ::1";
    let cases = [
        (Features::default(), plain),
        (Features { tcp_allocations: true, ..Features::default() }, "-t -T|-t -T -y|-t -S -T"),
        // Over TLS the client's own second connection fails, at coturn's server as well: what is left is UDP, TCP and DTLS.
        (Features { mobility: true, ..Features::default() }, "-M|-M -s|-t -M|-S -M"),
    ];
    for (features, options) in cases {
        let (server, port) = bind(features, &certificate);
        let handle = server.handle();
        let threads: Vec<_> = server
            .into_event_loops()
            .into_iter()
            .map(|event_loop| std::thread::spawn(|| event_loop.run()))
            .collect();
        let rows: Vec<&str> = options.split('|').collect();
        // The client mostly waits for itself.
        for together in rows.chunks(8) {
            std::thread::scope(|scope| {
                for options in together {
                    scope.spawn(|| loses_nothing(&handle, port, peer_port, options));
                }
            });
        }
        handle.stop();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    }
}
