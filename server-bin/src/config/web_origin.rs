//! Origins of web pages, written as browsers write them.

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
        // Exact origins alone: no wildcards, and nothing that would mean something in a header.
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

word_value!(WebOrigin, FrameAncestor);
