//! The sender of a request, whichever accept loop it came through.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::header::{HOST, ORIGIN};
use http::request::Parts;

use crate::ClientAddr;

/// The known properties of a request's sender.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The address; unknown if the accept loop does not report it.
    pub ip: Option<IpAddr>,
    /// The server's own address at which the request came in, if there is no proxy in between.
    pub local: Option<IpAddr>,
    /// Whether the request came by https.
    pub secure: bool,
    /// The origin under which the client sees the server.
    pub own_origin: Option<String>,
    /// The origin of the page that sent the request, if a browser states it.
    pub origin: Option<String>,
}

impl Caller {
    /// The sender of a request, as the accept loop reports it ([`ClientAddr`]), or else as axum does.
    pub fn of(parts: &Parts) -> Self {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let origin = text(ORIGIN);
        if let Some(client) = parts.extensions.get::<ClientAddr>() {
            let own_origin = client.origin();
            return Self {
                ip: Some(client.ip),
                local: client.local,
                secure: client.secure,
                own_origin,
                origin,
            };
        }
        let ip = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let own_origin = text(HOST).map(|host| format!("http://{}", host.to_ascii_lowercase()));
        Self { ip, local: None, secure: false, own_origin, origin }
    }

    /// Whether the request comes from one of the server's own pages.
    pub fn is_own_page(&self) -> bool {
        let own = self.own_origin.as_deref();
        own.zip(self.origin.as_deref()).is_some_and(|(own, origin)| own.eq_ignore_ascii_case(origin))
    }

    /// Whether the name by which the server was reached means the caller's own machine.
    pub fn is_at_home(&self) -> bool {
        self.reached_at().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
        })
    }

    /// The server's address that is offered first for the caller's media: the one by which the caller came, unless it
    /// lies in a network that the caller is not in. In that case the caller's own address, which at least shows whether
    /// the caller is on this machine.
    pub fn via(&self) -> Option<IpAddr> {
        let ip = self.ip.map(|ip| ip.to_canonical());
        let local = self.local.map(|local| local.to_canonical());
        let reaches = |local: &IpAddr| ip.is_some_and(is_private) || !is_private(*local);
        local.filter(reaches).or(ip)
    }

    /// The host name or address by which the client reached the server, in URL form; `None` if it is not certainly one.
    pub fn reached_at(&self) -> Option<String> {
        let (_, authority) = self.own_origin.as_deref()?.split_once("://")?;
        let authority: http::uri::Authority = authority.parse().ok()?;
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            }
        };
        (is_host && (1..=253).contains(&host.len())).then(|| host.to_owned())
    }
}

/// Whether an address has a meaning only within its own network.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}
