//! Addresses that webhooks may be sent to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr as _;

use http::Uri;
use ipnet::IpNet;
use signaling_core::Refusal;

/// Special-purpose ranges (from the IANA registries) and multicast.
const FORBIDDEN: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Whether an address is public, including any IPv4 address embedded in it.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    let ip = canonical(ip);
    let nets = FORBIDDEN.iter().filter_map(|net| IpNet::from_str(net).ok());
    !nets.into_iter().any(|net| net.contains(&ip))
}

/// The IPv4 address embedded in an IPv6 one (mapped, compatible, NAT64, 6to4), otherwise the address itself.
fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let words = v6.segments();
    let embedded =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match words {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => ip,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo stores the client's address inverted.
        [0x2001, 0, _, _, _, _, high, low] => embedded(!high, !low),
        _ => ip,
    }
}

/// The URL of a webhook receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) is_https: bool,
    /// A host name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    /// The host in the form of the `Host` header.
    pub(crate) authority: String,
}

impl Target {
    /// Parses a URL, and refuses hosts that cannot be public. Names are resolved when they are used.
    pub(crate) fn parse(url: &str, may_be_private: bool) -> Result<Self, Refusal> {
        const SHAPE: &str = "`webhookUrl` is http:// or https://, a host, perhaps a port, and a path";
        let wrong = || Refusal::bad_request(SHAPE);
        let plain = (1..=2_000).contains(&url.len()) && url.bytes().all(|byte| byte.is_ascii_graphic());
        let uri: Uri = plain.then(|| url.parse().ok()).flatten().ok_or_else(wrong)?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let (is_https, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(wrong()),
        };
        if authority.as_str().contains('@') || url.contains('#') {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        if host.is_empty() || authority.as_str().ends_with(':') {
            return Err(wrong());
        }
        if !may_be_private && !may_be_public(host) {
            return Err(Refusal::bad_request("`webhookUrl` leads to an address that is not public"));
        }
        Ok(Self {
            is_https,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            authority: authority.as_str().to_owned(),
        })
    }

    /// Resolves the host and returns the allowed addresses.
    pub(crate) async fn resolve(&self, may_be_private: bool) -> std::io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        Ok(found.filter(|address| may_be_private || is_public(address.ip())).collect())
    }
}

/// Whether a host may be public, before it is resolved.
fn may_be_public(host: &str) -> bool {
    if let Ok(ip) = host.parse::<Ipv6Addr>() {
        return is_public(ip.into());
    }
    let last = host.rsplit('.').next().unwrap_or(host);
    if last.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        // A name does not end in a number: it is an address, in one of the forms accepted by the C library (0x7f.1,
        // 017700000001).
        return as_the_c_library_reads(host).is_some_and(|ip| is_public(ip.into()));
    }
    let is_internal =
        ["localhost", "local", "internal", "localdomain", "home", "lan", "arpa"].contains(&last);
    host.contains('.') && !is_internal
}

/// Parses one to four numbers, decimal, octal or hexadecimal; the last one fills the remaining bytes.
fn as_the_c_library_reads(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = host.split('.').collect();
    let number = |part: &&str| -> Option<u32> {
        let lower = part.to_ascii_lowercase();
        match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
            (Some(hex), _) => u32::from_str_radix(if hex.is_empty() { "0" } else { hex }, 16).ok(),
            (None, Some(octal)) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
            _ => lower.parse().ok(),
        }
    };
    let numbers: Vec<u32> = parts.iter().map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) {
        return None;
    }
    let free = 32 - 8 * u32::try_from(first.len()).ok()?;
    if free < 32 && *last >= 1 << free {
        return None;
    }
    let high = first.iter().enumerate().fold(0_u32, |bits, (index, part)| bits | part << (24 - 8 * index));
    Some(Ipv4Addr::from_bits(high | last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_refused_however_it_is_written() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "router",
            "nas.local",
            "db.internal",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[fd00::1]",
            "[2001:0:0:0:0:0:80ff:fffe]",
            "999.1.1.1",
            "1.2.3.4.5",
        ] {
            let url = format!("http://{host}/hook");
            assert!(Target::parse(&url, false).is_err(), "{url}");
        }
        for host in ["example.org", "8.8.8.8", "134744072", "[2606:4700::1111]", "hooks.example.co.uk:8443"] {
            let url = format!("https://{host}/hook?x=1");
            assert!(Target::parse(&url, false).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_even_where_everything_is_allowed() {
        for url in [
            "",
            "example.org",
            "ftp://example.org/",
            "https://",
            "https:///x",
            "https://a@example.org/",
            "https://example.org:/",
            "https://example.org/#x",
            "https://example.org/\r\nx",
            "https://exam ple.org/",
            "javascript:alert(1)",
            "file:///etc/passwd",
        ] {
            assert!(Target::parse(url, true).is_err(), "{url}");
        }
        let target = Target::parse("http://[::1]:9000", true).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 9000, "/"));
    }
}
