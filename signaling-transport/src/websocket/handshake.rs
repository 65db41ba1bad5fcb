//! The upgrade from a request to a WebSocket byte stream (RFC 6455 section 4.2).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::body::Body;
use axum::extract::{FromRequestParts as _, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_api::Problem;
use hyper::upgrade::OnUpgrade;
use signaling_core::Refusal;

/// The server appends this to the client's key before hashing.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The accepting response and the byte stream to come; or the response that states what is wrong with the request.
pub(crate) async fn accept(
    mut parts: Parts,
    subprotocol: &'static str,
) -> Result<(Response, OnUpgrade), Response> {
    let key = parts.headers.get(SEC_WEBSOCKET_KEY).cloned();
    let upgrade = parts.extensions.get::<OnUpgrade>().cloned();
    // axum's extractor only checks the request. Its socket is not used, since it keeps buffers as large as the largest
    // message so far.
    let asked = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|rejection| no_handshake(rejection.status(), &rejection.body_text()))?
        .protocols([subprotocol]);
    let (Some(key), Some(upgrade)) = (key, upgrade) else {
        return Err(no_handshake(StatusCode::UPGRADE_REQUIRED, "this connection cannot be upgraded"));
    };
    let hashed = [key.as_bytes(), GUID].concat();
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if asked.selected_protocol().is_some() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    Ok((response, upgrade))
}

fn no_handshake(status: StatusCode, detail: &str) -> Response {
    let refusal = Refusal::bad_request(format!("no WebSocket handshake: {detail}"));
    let mut response = Problem::with_status(status, refusal).into_response();
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_key_of_the_rfc() {
        let hashed = [b"dGhlIHNhbXBsZSBub25jZQ==".as_slice(), GUID].concat();
        assert_eq!(
            STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed)),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
