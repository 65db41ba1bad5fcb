//! Where telemetry is sent.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use super::value::word_value;

/// The base URL of a receiver of OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// The URL for one signal, such as `traces`.
    pub(crate) fn of_signal(&self, signal: &str) -> Uri {
        // Checked when the setting was read.
        format!("{}/v1/{signal}", self.0).parse().unwrap_or_default()
    }
}

impl FromStr for OtlpEndpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "expected a URL, as in http://127.0.0.1:4318";
        let base = text.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| SHAPE)?;
        let authority = uri.authority().ok_or(SHAPE)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
            return Err(SHAPE);
        }
        if authority.as_str().contains('@') {
            return Err("the URL must not contain a user name or a password");
        }
        Ok(Self(base.to_owned()))
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

word_value!(OtlpEndpoint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_without_credentials() {
        let traces = |text: &str| text.parse::<OtlpEndpoint>().map(|it| it.of_signal("traces").to_string());
        assert_eq!(traces("http://[::1]:4318/").as_deref(), Ok("http://[::1]:4318/v1/traces"));
        assert_eq!(traces("https://a.example/otlp").as_deref(), Ok("https://a.example/otlp/v1/traces"));
        for bad in [
            "",
            "127.0.0.1:4318",
            "grpc://a.example",
            "/v1",
            "http://",
            "http://me:x@a.example",
            "http://a/?b",
        ] {
            assert!(traces(bad).is_err(), "{bad}");
        }
    }
}
