//! Whether the ports are free, or taken by the server itself.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::Finding;
use crate::config::{Listen, Settings};
use crate::{media, probe};

/// The server that runs with these settings, if one answers.
pub(super) struct Running {
    pub(super) is_there: bool,
}

impl Running {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { is_there: probe::ask(settings, false).is_ok() }
    }
}

pub(super) fn examine(settings: &Settings, running: &Running) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut look = |check, listen: &Listen, flag: &str, is_udp| {
        findings.push(match listen.resolve() {
            Ok(address) => port(check, address, flag, is_udp, running.is_there),
            Err(error) => Finding::wrong(
                check,
                format!("{listen} is no address of this machine ({error})"),
                format!("look at {flag}"),
            ),
        });
    };
    look("page", &settings.listen, "--listen", false);
    if !settings.no_sfu
        && let Ok(page) = settings.listen.resolve()
    {
        let address = SocketAddr::new(media::address(settings, page.ip()), settings.media_port);
        findings.push(port("media", address, "--media-port", true, running.is_there));
    }
    let mut look = |check, is_udp| {
        findings.push(match settings.turn_listen.resolve() {
            Ok(address) => port(check, address, "--turn-listen", is_udp, running.is_there),
            Err(error) => {
                Finding::wrong(check, format!("{} ({error})", settings.turn_listen), "look at --turn-listen")
            }
        });
    };
    if !settings.no_turn {
        look("relay-udp", true);
        look("relay-tcp", false);
    }
    findings
}

fn port(check: &'static str, address: SocketAddr, flag: &str, is_udp: bool, is_running: bool) -> Finding {
    let kind = if is_udp { "UDP" } else { "TCP" };
    let bound =
        if is_udp { UdpSocket::bind(address).map(drop) } else { TcpListener::bind(address).map(drop) };
    match (bound, is_running) {
        (Ok(()), false) => Finding::fine(check, format!("{kind} {address} is free")),
        (Ok(()), true) if address.port() == 0 => {
            Finding::unknown(check, format!("{kind} port 0 is another one at each start"))
        }
        (Ok(()), true) => Finding::wrong(
            check,
            format!("the server runs, and nothing listens on {kind} {address}"),
            format!("it was started with other settings: look at {flag}"),
        ),
        (Err(error), true) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::fine(check, format!("{kind} {address} is taken, and the server runs"))
        }
        (Err(error), false) if error.kind() == io::ErrorKind::AddrInUse => Finding::wrong(
            check,
            format!("another program has {kind} {address}"),
            format!("end that one, or choose another port with {flag}"),
        ),
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => Finding::wrong(
            check,
            format!("{kind} port {} needs more rights", address.port()),
            format!("choose one above 1023 with {flag}, or give the program CAP_NET_BIND_SERVICE"),
        ),
        (Err(error), _) => Finding::wrong(
            check,
            format!("{kind} {address} cannot be opened ({error})"),
            format!("look at {flag}"),
        ),
    }
}
