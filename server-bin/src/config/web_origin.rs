//! Origins of web pages, in the form that browsers send.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use super::value::word_value;

/// Scheme, host and port, as in `https://calls.example` or `http://localhost:8080`: in lower case, without a default
/// port and without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebOrigin(String);

impl FromStr for WebOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected http:// or https://, a host and perhaps a port, and nothing after it";
        let uri: Uri = text.parse().map_err(|_| SHAPE)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(SHAPE) };
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(SHAPE),
        };
        let has_path = uri.path_and_query().is_some_and(|path| path != "/");
        if has_path
            || text.contains('#')
            || authority.as_str().contains('@')
            || authority.as_str().ends_with(':')
        {
            return Err(SHAPE);
        }
        let host = authority.host().to_ascii_lowercase();
        // Only exact origins: no wildcards, and nothing with a special meaning in a header.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        if host.is_empty() || !host.bytes().all(is_plain) {
            return Err(SHAPE);
        }
        Ok(Self(match authority.port_u16() {
            Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }))
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where people find the server: an origin, and the path below it when the server has not all of that to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    origin: WebOrigin,
    /// Empty, or a path without a slash at its end.
    path: String,
}

impl PublicUrl {
    /// The host, if it is reached by https under a name that a certificate can be ordered for.
    pub(crate) fn name(&self) -> Option<&str> {
        let authority = self.origin.0.strip_prefix("https://")?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let is_name =
            host.contains('.') && host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[');
        is_name.then_some(host)
    }

    /// The port at which clients find the page.
    pub(crate) fn port(&self) -> u16 {
        let (scheme, authority) = self.origin.0.split_once("://").unwrap_or_default();
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.unwrap_or(if scheme == "http" { 80 } else { 443 })
    }

    /// The path, without a slash at its end.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for PublicUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected http:// or https://, a host, perhaps a port, and perhaps a path of letters, digits \
             and -._~ between its slashes";
        let uri: Uri = text.parse().map_err(|_| SHAPE)?;
        let path = uri.path().trim_end_matches('/').to_owned();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain);
        let fits = uri.query().is_none() && path.split('/').skip(1).all(is_segment);
        let (Some(scheme), Some(authority), true) = (uri.scheme_str(), uri.authority(), fits) else {
            return Err(SHAPE);
        };
        if text.contains('#') {
            return Err(SHAPE);
        }
        let origin = format!("{scheme}://{authority}").parse().map_err(|_| SHAPE)?;
        Ok(Self { origin, path })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// Whose pages may use the server, beside its own: the origin of a website, of an app or an extension
/// (`capacitor://localhost`, `chrome-extension://…`), or `null`, as which browsers write that a page has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowedOrigin(String);

impl AllowedOrigin {
    /// Whether any page can have itself taken for it.
    pub(crate) fn is_null(&self) -> bool {
        self.0 == "null"
    }
}

impl FromStr for AllowedOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected a scheme, a host and perhaps a port, and nothing after it, as in \
             https://www.example or capacitor://localhost; or null";
        if text == "null" {
            return Ok(Self(text.to_owned()));
        }
        let (scheme, host) = text.split_once("://").ok_or(SHAPE)?;
        if matches!(&*scheme.to_ascii_lowercase(), "http" | "https") {
            return text.parse().map(|WebOrigin(origin)| Self(origin));
        }
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let host = host.strip_suffix('/').unwrap_or(host);
        let is_host =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
        if is_scheme && is_host {
            Ok(Self(format!("{scheme}://{host}").to_ascii_lowercase()))
        } else {
            Err(SHAPE)
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may show the page in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrameAncestor {
    /// Pages of this server.
    This,
    /// Pages of another.
    Other(WebOrigin),
}

impl FrameAncestor {
    /// As a Content-Security-Policy has it.
    pub(crate) fn source(&self) -> &str {
        match self {
            Self::This => "'self'",
            Self::Other(origin) => &origin.0,
        }
    }
}

impl FromStr for FrameAncestor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "self" | "'self'" => Ok(Self::This),
            other => other.parse().map(Self::Other),
        }
    }
}

/// As it stands in the file.
impl fmt::Display for FrameAncestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::This => f.write_str("self"),
            Self::Other(origin) => origin.fmt(f),
        }
    }
}

word_value!(AllowedOrigin, FrameAncestor, PublicUrl);
