//! Header fields of WHIP and WHEP.

use http::header::{ACCEPT, IF_MATCH};
use http::{HeaderMap, HeaderValue};
use signaling_core::message::IceServers;

/// The media type of session descriptions.
pub(super) const SDP: &str = "application/sdp";

/// The STUN and TURN servers as `Link` headers (RFC 9725 section 4.6), one for each URL.
pub(super) fn links(servers: &IceServers) -> impl Iterator<Item = HeaderValue> + '_ {
    servers.ice_servers.iter().flat_map(|server| {
        server.urls.iter().filter_map(|url| {
            let credentials = match (&server.username, &server.credential) {
                (Some(username), Some(credential)) => {
                    let (username, credential) = (quoted(username), quoted(credential));
                    format!("; username={username}; credential={credential}; credential-type=\"password\"")
                }
                _ => String::new(),
            };
            let link = format!("<{url}>; rel=\"ice-server\"{credentials}");
            HeaderValue::from_str(&link).ok()
        })
    })
}

/// A quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether the client accepts the media type of the answer (RFC 9110 section 12.5.1).
pub(super) fn accepts_sdp(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return true;
    }
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality.and_then(|quality| quality.parse::<f32>().ok()).is_some_and(|quality| quality <= 0.0)
        });
        let fits = ["*/*", "application/*", SDP].iter().any(|range| essence.eq_ignore_ascii_case(range));
        fits && !refused
    })
}

/// `If-Match` (RFC 9110 section 13.1.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// `*`: whatever the ICE session.
    Any,
    /// Strong tags; weak ones match nothing.
    OneOf(Vec<String>),
}

/// The precondition of a request, if it has one.
pub(super) fn expected(headers: &HeaderMap) -> Option<Expected> {
    let values: Vec<_> = headers.get_all(IF_MATCH).iter().collect();
    if values.is_empty() {
        return None;
    }
    let tags = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut strong = Vec::new();
    for tag in tags.map(str::trim) {
        // In quotes it would be a tag, but the RFC's example of a restart writes it so. No tag of this server equals
        // it.
        if matches!(tag, "*" | "\"*\"") {
            return Some(Expected::Any);
        }
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        strong.extend(tag.map(str::to_owned));
    }
    Some(Expected::OneOf(strong))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use signaling_core::message::IceServer;

    use super::*;

    fn headers(name: &HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn preconditions_are_any_or_strong_tags() {
        let read = |values: &[&'static str]| expected(&headers(&IF_MATCH, values));
        let one_of = |tags: &[&str]| Some(Expected::OneOf(tags.iter().map(|&tag| tag.to_owned()).collect()));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["*"]), Some(Expected::Any));
        assert_eq!(read(&["\"*\""]), Some(Expected::Any), "as in RFC 9725 section 4.3.3");
        assert_eq!(read(&["\"a+/\""]), one_of(&["a+/"]));
        assert_eq!(read(&["\"a\", \"b\"", "\"c\""]), one_of(&["a", "b", "c"]));
        assert_eq!(read(&["W/\"a\""]), one_of(&[]));
        assert_eq!(read(&["a"]), one_of(&[]));
    }

    #[test]
    fn an_answer_is_sdp_or_nothing() {
        let accepts = |values: &[&'static str]| accepts_sdp(&headers(&ACCEPT, values));
        assert!(accepts(&[]));
        assert!(accepts(&["*/*"]));
        assert!(accepts(&["text/html, application/SDP;q=0.5"]));
        assert!(accepts(&["text/html", "application/*"]));
        assert!(!accepts(&["text/html"]));
        assert!(!accepts(&["application/sdp;q=0"]));
    }

    #[test]
    fn credentials_stand_in_quotes() {
        let server = |urls: &[&str], username: Option<&str>, credential: Option<&str>| IceServer {
            urls: urls.iter().map(|&url| url.to_owned()).collect(),
            username: username.map(str::to_owned),
            credential: credential.map(str::to_owned),
        };
        let servers = IceServers {
            peer_ice_servers: None,
            ice_servers: vec![
                server(&["stun:a:3478"], None, None),
                server(&["turn:a:3478", "turn:a:3478?transport=tcp"], Some("1:x"), Some("p\"\\=")),
            ],
            ttl_seconds: 60,
        };
        let links: Vec<_> = links(&servers).map(|link| link.to_str().unwrap().to_owned()).collect();
        let credentials = r#"username="1:x"; credential="p\"\\="; credential-type="password""#;
        assert_eq!(links[0], r#"<stun:a:3478>; rel="ice-server""#);
        assert_eq!(links[1], format!(r#"<turn:a:3478>; rel="ice-server"; {credentials}"#));
        assert_eq!(links[2], format!(r#"<turn:a:3478?transport=tcp>; rel="ice-server"; {credentials}"#));
    }
}
