//! The address under which others see this machine, and what is announced to them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};

use signaling_core::message::Cause;
use signaling_transport::net::self_signed;
use stun_turn::wire::attribute as attr;
use stun_turn::wire::{MessageBuilder, TransactionId, attributes, method};

use super::Finding;
use super::loopback::{address_in, connected, exchange, near};
use crate::config::Settings;

const CHECK: &str = "address";

pub(super) fn examine(settings: &Settings, via: Option<&str>) -> Vec<Finding> {
    let announced: Vec<IpAddr> = settings.external_ip.iter().map(|external| external.public).collect();
    let own = self_signed::machine_addresses();
    let servers = match via {
        Some(name) => name.to_socket_addrs().map(Iterator::collect).unwrap_or_default(),
        None => itself(settings, &announced),
    };
    let Some((server, mapped)) = servers.iter().find_map(|server| Some((*server, mapped(*server)?))) else {
        return vec![match via {
            Some(name) => Finding::wrong(
                CHECK,
                format!("the STUN server {name} does not answer"),
                "look at its name, and whether UDP gets out of this network",
            ),
            None if announced.is_empty() => alone(&own),
            None => Finding::unknown(
                CHECK,
                "nothing answers at --external-ip from inside, as behind many NATs: name a STUN server outside with --via HOST:PORT",
            ),
        }];
    };
    let mut findings = vec![judge(mapped.0.ip(), &announced, &own)];
    findings.extend(mapping(server, mapped));
    findings
}

/// The own STUN server at the addresses that it announces.
fn itself(settings: &Settings, announced: &[IpAddr]) -> Vec<SocketAddr> {
    let port = near(&settings.turn_listen).filter(|_| !settings.no_turn).map(|address| address.port());
    port.into_iter().flat_map(|port| announced.iter().map(move |ip| SocketAddr::new(*ip, port))).collect()
}

/// The finding without any STUN server.
fn alone(own: &[IpAddr]) -> Finding {
    match own.iter().find(|ip| is_public(**ip)) {
        Some(ip) => Finding::fine(CHECK, format!("this machine has the public address {ip}")),
        None => Finding::unknown(
            CHECK,
            "this machine has no public address: name a STUN server outside with --via HOST:PORT",
        ),
    }
}

fn judge(seen: IpAddr, announced: &[IpAddr], own: &[IpAddr]) -> Finding {
    if announced.contains(&seen) {
        return Finding::fine(CHECK, format!("others see {seen}, as --external-ip says"));
    }
    let is_of_family = |ip: &&IpAddr| ip.is_ipv4() == seen.is_ipv4();
    if let Some(wrong) = announced.iter().find(is_of_family) {
        return Finding::wrong(
            CHECK,
            format!("others see {seen}, and --external-ip announces {wrong}"),
            format!("set --external-ip {seen}"),
        )
        .because(Cause::WrongExternalAddress);
    }
    if own.contains(&seen) || seen.is_loopback() {
        return Finding::fine(CHECK, format!("others see {seen}, an address of this machine"));
    }
    Finding::wrong(
        CHECK,
        format!("others see {seen}, which is no address of this machine, and it is not announced"),
        format!("set --external-ip {seen}, and forward the ports to this machine"),
    )
    .because(Cause::WrongExternalAddress)
}

/// What a STUN server says of the socket: the mapped address, the socket itself, and the server's other address.
fn mapped(server: SocketAddr) -> Option<(SocketAddr, UdpSocket, Option<SocketAddr>)> {
    let socket = connected(server).ok()?;
    let answer = exchange(&socket, &binding())?;
    Some((address_in(&answer, attr::XOR_MAPPED_ADDRESS)?, socket, other_address(&answer)))
}

fn binding() -> Vec<u8> {
    let mut id = [0; 12];
    // Constant bytes are as good where the system gives none.
    let _ = aws_lc_rs::rand::fill(&mut id);
    MessageBuilder::request(method::BINDING, TransactionId(id)).finish(None)
}

/// OTHER-ADDRESS (RFC 5780 section 7.4), which is not combined with anything.
fn other_address(answer: &[u8]) -> Option<SocketAddr> {
    let (_, value) = attributes(answer).find(|(kind, _)| *kind == attr::OTHER_ADDRESS)?;
    attr::read_xor_address(value, &[0; 16])
}

/// Whether the NAT in front gives each destination a port of its own (RFC 5780 section 4.3).
fn mapping(
    server: SocketAddr,
    (first, socket, other): (SocketAddr, UdpSocket, Option<SocketAddr>),
) -> Option<Finding> {
    const CHECK: &str = "nat";
    let other = other.filter(|other| *other != server)?;
    socket.connect(other).ok()?;
    let Some(second) =
        exchange(&socket, &binding()).and_then(|answer| address_in(&answer, attr::XOR_MAPPED_ADDRESS))
    else {
        return Some(Finding::unknown(
            CHECK,
            format!("the STUN server's other address {other} does not answer"),
        ));
    };
    Some(if first == second {
        Finding::fine(CHECK, "the same port is mapped for every destination, or there is no NAT")
    } else {
        Finding::wrong(
            CHECK,
            format!("a NAT maps another port for each destination ({first}, {second})"),
            "forward the ports of the server one to one, or clients cannot send to them",
        )
    })
}

fn is_public(ip: IpAddr) -> bool {
    stun_turn::PeerPolicy::default().address(ip) == stun_turn::AddressVerdict::Allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn the_seen_address_is_announced_or_the_machines_own() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let [seen, other, inside] = [ip("198.51.100.7"), ip("198.51.100.8"), ip("10.0.0.7")];
        assert_eq!(judge(seen, &[seen], &[inside]).verdict, Verdict::Fine);
        assert_eq!(judge(seen, &[], &[seen]).verdict, Verdict::Fine);
        for (announced, own) in
            [(vec![other], vec![seen]), (vec![], vec![inside]), (vec![ip("2001:db8::1")], vec![inside])]
        {
            let finding = judge(seen, &announced, &own);
            assert_eq!((finding.verdict, finding.cause), (Verdict::Wrong, Some(Cause::WrongExternalAddress)));
        }
    }

    #[test]
    fn without_a_stun_server_a_public_address_is_enough() {
        assert_eq!(alone(&["9.9.9.9".parse().unwrap()]).verdict, Verdict::Fine);
        assert_eq!(alone(&["10.0.0.7".parse().unwrap()]).verdict, Verdict::Unknown);
    }
}
