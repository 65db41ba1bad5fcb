//! Response headers that control browser behaviour for the page.

use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_SECURITY_POLICY, HOST, HeaderName, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), screen-wake-lock=(self), \
     speaker-selection=(self), picture-in-picture=(self), autoplay=(self), clipboard-write=(self), fullscreen=(self), \
     geolocation=(), usb=(), payment=(), serial=(), hid=(), midi=()";

/// Allows only this origin; the page loads nothing from third parties.
#[derive(Debug)]
pub(crate) struct Policy {
    frame_ancestors: String,
}

impl Policy {
    pub(crate) fn new(frame_ancestors: &str) -> Self {
        let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',') || byte == b' ';
        let frame_ancestors = frame_ancestors.trim();
        let usable = !frame_ancestors.is_empty() && frame_ancestors.bytes().all(legal);
        Self { frame_ancestors: if usable { frame_ancestors } else { "'none'" }.to_owned() }
    }

    /// The origins that may show the page in a frame, separated by spaces, or `'none'`.
    pub(crate) fn frame_ancestors(&self) -> &str {
        &self.frame_ancestors
    }

    pub(crate) fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        let host = request.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_authority(host));
        if let Ok(policy) = HeaderValue::from_str(&self.content_security_policy(host)) {
            response.insert(CONTENT_SECURITY_POLICY, policy);
        }
        response.insert(VARY, HeaderValue::from_static("host, accept-encoding"));
        response.insert(PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS));
        response.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        if self.frame_ancestors == "'none'" {
            response.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
    }

    fn content_security_policy(&self, host: Option<&str>) -> String {
        // Older Safari applies `'self'` to http only, so WebSockets to this origin are listed explicitly.
        let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             media-src 'self' blob: mediastream:; connect-src 'self'{sockets}; manifest-src 'self'; \
             frame-ancestors {}; base-uri 'none'; form-action 'self'",
            self.frame_ancestors
        )
    }
}

/// Lets pages of every origin load what is public anyway, also pages that are isolated from other origins.
pub(crate) async fn for_any_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

/// Whether a `Host` is a name or address with an optional port, without anything that could end the directive.
fn is_authority(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'))
}
