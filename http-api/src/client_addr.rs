//! The address of a client.

use std::net::{IpAddr, SocketAddr};

/// The sender of a request, and how it came. The accept loop adds it to the extensions of each request.
///
/// Behind a trusted proxy, these are the proxy's statements about its client; otherwise they come from the connection
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddr {
    /// The client's address; an IPv4 address mapped to IPv6 is shown as IPv4.
    pub ip: IpAddr,
    /// The other end of the connection: the client, or the last proxy.
    pub peer: SocketAddr,
    /// The server's own address at which the connection came in; `None` if the other end is a proxy.
    pub local: Option<IpAddr>,
    /// Whether the client came by https.
    pub secure: bool,
    /// The host that the client requested, with the port if it gave one.
    pub host: Option<String>,
}

impl ClientAddr {
    /// The origin at which the client sees this server, such as `https://calls.example` or `http://localhost:8080`, in
    /// lower case and without a default port. A browser sends it as `Origin` from a page of this server.
    pub fn origin(&self) -> Option<String> {
        let host = self.host.as_deref()?.to_ascii_lowercase();
        let (scheme, default_port) = if self.secure { ("https", ":443") } else { ("http", ":80") };
        let host = host.strip_suffix(default_port).unwrap_or(&host);
        Some(format!("{scheme}://{host}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(secure: bool, host: &str) -> ClientAddr {
        ClientAddr {
            ip: [192, 0, 2, 1].into(),
            peer: ([192, 0, 2, 1], 1).into(),
            local: None,
            secure,
            host: Some(host.to_owned()),
        }
    }

    #[test]
    fn origins_read_as_browsers_write_them() {
        let origin = |secure, host| client(secure, host).origin().unwrap();
        assert_eq!(origin(true, "Calls.Example"), "https://calls.example");
        assert_eq!(origin(true, "calls.example:443"), "https://calls.example");
        assert_eq!(origin(true, "calls.example:80"), "https://calls.example:80");
        assert_eq!(origin(false, "localhost:8080"), "http://localhost:8080");
        assert_eq!(origin(false, "[::1]:80"), "http://[::1]");
    }
}
