//! `visavis health`: asks the server that runs with the same settings how it is, where nothing else can (an image without a shell).

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::config::Settings;

/// How long the server may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than an answer of `/livez` or `/readyz` has.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// The body of the server's answer, which is an error unless its status is 200. `ready`: whether it must also accept new work.
pub(crate) fn ask(settings: &Settings, ready: bool) -> anyhow::Result<String> {
    let listen = &settings.listen;
    let address = listen.resolve().with_context(|| format!("look at --listen {listen}"))?;
    if address.port() == 0 {
        bail!("--listen {listen} does not tell the port");
    }
    let path = if ready { "/readyz" } else { "/livez" };
    let answer = get(address, path).with_context(|| format!("no answer from {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("what answers does not speak HTTP")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some(status) => bail!("{path} has status {status}: {body}"),
        None => bail!("what answers does not speak HTTP"),
    }
}

/// The whole answer, head and body. Plain http works in every mode of TLS, since localhost is not redirected.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A server on every address is asked on loopback, of the family that this machine has.
fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    if !address.ip().is_unspecified() {
        return Ok(TcpStream::connect_timeout(&address, PATIENCE)?);
    }
    let at = |ip| TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), PATIENCE);
    Ok(at(IpAddr::V4(Ipv4Addr::LOCALHOST)).or_else(|_| at(IpAddr::V6(Ipv6Addr::LOCALHOST)))?)
}
