//! The redirect from plain http to https.

use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use super::ClientAddr;

/// The treatment of requests by plain http.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Requests are served.
    #[default]
    Serve,
    /// Requests are redirected to https on the same host and port, except on `localhost` and loopback addresses, where
    /// browsers trust plain http.
    RedirectOthers,
}

impl PlainHttp {
    /// The https URL that a request must use instead.
    pub(super) fn redirect(self, client: &ClientAddr, uri: &Uri) -> Option<String> {
        let host = client.host.as_deref()?;
        if self == Self::Serve || client.secure || is_loopback(host) {
            return None;
        }
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        // Only a valid authority may go back into a header.
        let authority: Authority = host.parse().ok()?;
        Some(format!("https://{authority}{path}"))
    }
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(secure: bool, host: &str, uri: &'static str) -> Option<String> {
        let client = ClientAddr {
            ip: [192, 0, 2, 1].into(),
            peer: ([192, 0, 2, 1], 9).into(),
            local: None,
            secure,
            host: Some(host.to_owned()),
        };
        assert_eq!(PlainHttp::Serve.redirect(&client, &Uri::from_static(uri)), None);
        PlainHttp::RedirectOthers.redirect(&client, &Uri::from_static(uri))
    }

    #[test]
    fn plain_http_from_elsewhere_is_redirected_when_asked_for() {
        assert_eq!(
            redirected(false, "192.0.2.1:8080", "/r/a?b=c").as_deref(),
            Some("https://192.0.2.1:8080/r/a?b=c")
        );
        for trusted in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080"] {
            assert_eq!(redirected(false, trusted, "/"), None, "{trusted}");
        }
        assert_eq!(redirected(true, "192.0.2.1", "/"), None);
        assert_eq!(redirected(false, "bad host\r\n", "/"), None);
    }
}
