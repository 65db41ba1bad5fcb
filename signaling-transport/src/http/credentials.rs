//! Credentials of a request: a bearer, or the cookie of a session.

use http::HeaderMap;
use http::header::COOKIE;
use http_api::bearer;
use signaling_core::{Code, Refusal, SessionClaims, SessionId};

use crate::service::Signaling;

/// The cookie that carries a session's secret. Its path is that of the session.
pub(super) const COOKIE_NAME: &str = "visavis-session";

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|cookies| cookies.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    })
}

/// The claims of the secret that a request for a session presents.
pub(super) fn session_claims(
    signaling: &Signaling,
    headers: &HeaderMap,
    session: &str,
) -> Result<SessionClaims, Refusal> {
    let session: SessionId =
        session.parse().map_err(|_| Refusal::new(Code::SessionUnknown, "no session of that id"))?;
    let secret = bearer(headers).or_else(|| cookie(headers));
    let secret = secret.ok_or_else(|| Refusal::new(Code::Unauthorized, "the session's secret is missing"))?;
    let claims = signaling.open_secret(secret).filter(|claims| claims.session == session);
    claims.ok_or_else(|| Refusal::new(Code::Unauthorized, "the secret does not open this session"))
}
