//! Proxies' statements about the client behind them: `Forwarded` (RFC 7239) and the `X-Forwarded-…` headers.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri, header};
use ipnet::IpNet;

use super::ClientAddr;

/// The networks of proxies whose statements about the client are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Trusts the proxies in these networks; an empty list trusts none.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    /// Whether statements of this address are trusted.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// The client of a request. Each proxy appends its client on the right, so the client is the right-most address
    /// that is not a trusted proxy; it could have forged everything to the left. `X-Forwarded-For` takes precedence
    /// over `Forwarded`, which common proxies pass on as the client sent it.
    pub(super) fn client(&self, peer: SocketAddr, tls: bool, uri: &Uri, headers: &HeaderMap) -> ClientAddr {
        let host = uri
            .authority()
            .map(|authority| authority.as_str().to_owned())
            .or_else(|| text(headers.get(header::HOST)?).map(str::to_owned));
        let mut client = ClientAddr { ip: peer.ip().to_canonical(), peer, local: None, secure: tls, host };
        if !self.trusts(peer.ip()) {
            return client;
        }
        let addresses = list(headers, "x-forwarded-for");
        if addresses.is_empty() && headers.contains_key(header::FORWARDED) {
            self.apply_forwarded(&mut client, headers);
            return client;
        }
        let hops = self.walk(&mut client, addresses.iter().map(|entry| node(entry)));
        if let Some(proto) = told_at(&list(headers, "x-forwarded-proto"), hops) {
            client.secure = is_secure(proto);
        }
        if let Some(host) = told_at(&list(headers, "x-forwarded-host"), hops) {
            client.host = Some((*host).to_owned());
        }
        client
    }

    fn apply_forwarded(&self, client: &mut ClientAddr, headers: &HeaderMap) {
        let elements: Vec<Element> = headers
            .get_all(header::FORWARDED)
            .iter()
            .filter_map(text)
            .flat_map(|line| split_outside_quotes(line, ','))
            .map(Element::parse)
            .collect();
        let hops = self.walk(client, elements.iter().map(|element| element.client.as_deref().and_then(node)));
        let Some(element) = elements.len().checked_sub(hops.max(1)).and_then(|index| elements.get(index))
        else {
            return;
        };
        if let Some(proto) = &element.proto {
            client.secure = is_secure(proto);
        }
        if let Some(host) = &element.host {
            client.host = Some(host.clone());
        }
    }

    /// Walks the addresses from the right to the client's. Returns how many were trusted.
    fn walk(&self, client: &mut ClientAddr, nodes: impl DoubleEndedIterator<Item = Option<IpAddr>>) -> usize {
        let mut hops = 0;
        for ip in nodes.rev() {
            // A hidden or malformed address ends the trusted part.
            let Some(ip) = ip else { break };
            client.ip = ip;
            hops += 1;
            if !self.trusts(ip) {
                break;
            }
        }
        hops
    }
}

/// One element of `Forwarded`: the statement of one proxy.
#[derive(Debug, Default)]
struct Element {
    client: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

impl Element {
    fn parse(element: &str) -> Self {
        let mut parsed = Self::default();
        for pair in split_outside_quotes(element, ';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = Some(unquote(value.trim()));
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => parsed.client = value,
                "proto" => parsed.proto = value,
                "host" => parsed.host = value,
                _ => {}
            }
        }
        parsed
    }
}

fn text(value: &http::HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// The entries of a list header, over all its lines, in order.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(text)
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect()
}

/// The statement of the proxy next to the client. A list with one entry applies to the whole chain.
fn told_at<'a, 'b>(entries: &'b [&'a str], hops: usize) -> Option<&'b &'a str> {
    match entries {
        [only] => Some(only),
        several => several.get(several.len().saturating_sub(hops.max(1))),
    }
}

fn is_secure(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss")
}

/// An address with or without port and brackets (RFC 7239 section 6).
fn node(entry: &str) -> Option<IpAddr> {
    let ip = entry
        .parse::<IpAddr>()
        .or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| entry.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()?;
    Some(ip.to_canonical())
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c| {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if c == separator {
            return !quoted;
        }
        false
    })
    .map(str::trim)
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|&c| {
            escaped = !escaped && c == '\\';
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, tls: bool, headers: &[(&'static str, &str)]) -> ClientAddr {
        let proxies = TrustedProxies::new(trusted.iter().map(|net| net.parse().unwrap()).collect());
        let mut map = HeaderMap::new();
        map.append(header::HOST, "inside:8080".parse().unwrap());
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.client(SocketAddr::new(peer.parse().unwrap(), 5), tls, &Uri::from_static("/"), &map)
    }

    fn seen(client: &ClientAddr) -> (String, bool, &str) {
        (client.ip.to_string(), client.secure, client.host.as_deref().unwrap())
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let told = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
        ];
        let got = client(&["10.0.0.0/8"], "192.0.2.1", false, &told);
        assert_eq!(seen(&got), ("192.0.2.1".to_owned(), false, "inside:8080"));
    }

    #[test]
    fn the_right_most_stranger_is_the_client() {
        let told = [
            ("x-forwarded-for", "1.1.1.1, 198.51.100.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
        ];
        let got = client(&["10.0.0.0/8"], "::ffff:10.0.0.1", false, &told);
        assert_eq!(seen(&got), ("198.51.100.1".to_owned(), true, "inside:8080"));
    }

    #[test]
    fn a_forged_scheme_left_of_the_proxys_own_is_ignored() {
        let told = [("x-forwarded-for", "1.1.1.1, 198.51.100.1"), ("x-forwarded-proto", "https, http")];
        assert!(!client(&["10.0.0.0/8"], "10.0.0.1", false, &told).secure);
    }

    #[test]
    fn the_scheme_of_the_connection_holds_without_another_word() {
        assert!(client(&["10.0.0.0/8"], "10.0.0.1", true, &[("x-forwarded-for", "198.51.100.1")]).secure);
    }

    #[test]
    fn junk_ends_what_is_believed() {
        let got = client(
            &["10.0.0.0/8"],
            "10.0.0.1",
            false,
            &[("x-forwarded-for", "198.51.100.1, nonsense, 10.0.0.2")],
        );
        assert_eq!(got.ip.to_string(), "10.0.0.2");
    }

    #[test]
    fn the_standard_header_is_read_with_quotes_ports_and_brackets() {
        let told = [(
            "forwarded",
            r#"for=1.1.1.1;proto=http, for="[2001:db8::7]:4711";Proto=https;host="calls.example", for=10.0.0.3"#,
        )];
        let got = client(&["10.0.0.0/8"], "10.0.0.1", false, &told);
        assert_eq!(seen(&got), ("2001:db8::7".to_owned(), true, "calls.example"));
        let hidden = client(&["10.0.0.0/8"], "10.0.0.1", false, &[("forwarded", "for=_hidden;proto=https")]);
        assert_eq!(seen(&hidden), ("10.0.0.1".to_owned(), true, "inside:8080"));
    }

    #[test]
    fn addresses_come_with_ports_and_brackets() {
        for entry in ["198.51.100.1:80", "::ffff:198.51.100.1", "198.51.100.1"] {
            assert_eq!(node(entry).unwrap().to_string(), "198.51.100.1", "{entry}");
        }
        for entry in ["[2001:db8::1]:80", "[2001:db8::1]", "2001:db8::1"] {
            assert_eq!(node(entry).unwrap().to_string(), "2001:db8::1", "{entry}");
        }
        assert_eq!(node("unknown"), None);
    }
}
