//! An address to listen on.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use super::value::word_value;

/// A host, which may be a name, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// An address, in brackets when it is IPv6, or a name.
    host: String,
    port: u16,
}

impl Listen {
    pub(crate) fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The first address of the host. Names are looked up, which blocks.
    pub(crate) fn resolve(&self) -> io::Result<SocketAddr> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        self.to_string().to_socket_addrs()?.next().ok_or_else(missing)
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected HOST:PORT, as in 127.0.0.1:8080 or [::]:8080";
        let (host, port) = text.rsplit_once(':').ok_or(SHAPE)?;
        let port = port.parse().map_err(|_| "the port must be a number from 0 to 65535")?;
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if bare_ipv6 || host.contains(char::is_whitespace) || host.contains('/') {
            return Err(SHAPE);
        }
        let host = if host.is_empty() { "[::]" } else { host }.to_owned();
        Ok(Self { host, port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

word_value!(Listen);
