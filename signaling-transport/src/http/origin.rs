//! The origins whose pages may talk to the server.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, COOKIE, SET_COOKIE, VARY,
};
use http::{HeaderValue, Method, StatusCode};
use http_api::{Caller, Problem};
use signaling_core::{Code, Refusal, WallClock as _};

use crate::service::Signaling;

/// What browsers send as the origin of pages that have none.
const NONE: &str = "null";

/// Refuses requests from pages of other origins, before any handler and before an upgrade. Programs other than browsers
/// send no `Origin`, and pass.
pub(crate) async fn check(
    State(signaling): State<Signaling>,
    caller: Caller,
    mut request: Request,
    next: Next,
) -> Response {
    if !signaling.origins().allows(&caller) {
        return refuse(&signaling, caller);
    }
    // Any page can lack an origin. Such a page may use the credentials that it has itself, but not the browser's
    // cookies.
    if caller.origin.as_deref() == Some(NONE) {
        request.headers_mut().remove(COOKIE);
    }
    share(State(signaling), caller, request, next).await
}

/// Lets pages of allowed origins read the answers, and refuses no request.
pub(crate) async fn share(
    State(signaling): State<Signaling>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Response {
    let has_no_origin = caller.origin.as_deref() == Some(NONE);
    let foreign = caller.origin.filter(|origin| signaling.origins().allows_foreign(origin));
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.run(request).await;
    if is_preflight && foreign.is_some() && !response.status().is_success() {
        // For paths that do not answer `OPTIONS` themselves.
        response = StatusCode::NO_CONTENT.into_response();
    }
    let Some(origin) = foreign.and_then(|origin| HeaderValue::from_str(&origin).ok()) else {
        return response;
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if has_no_origin {
        headers.remove(SET_COOKIE);
    } else {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Location, ETag, Link, Retry-After, Accept-Patch, Accept-Post, Accept-Ranges, Allow, Content-Range, \
             Content-Length, Content-Disposition, WWW-Authenticate",
        ),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if is_preflight {
        let methods = HeaderValue::from_static("GET, POST, PATCH, DELETE, OPTIONS");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        let allowed = HeaderValue::from_static(
            "Authorization, Content-Type, Last-Event-ID, If-Match, If-None-Match, If-Range, Range, Idempotency-Key",
        );
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Names the origin that the server takes for its own: usually it is misconfigured, or a proxy in front has lost the
/// port.
fn refuse(signaling: &Signaling, caller: Caller) -> Response {
    let own = signaling.origins().own(&caller);
    let asked = caller.origin.unwrap_or_default();
    if let Some(refused) = signaling.origins().count_refused(signaling.hub().clock().ticks()) {
        tracing::warn!(
            origin = asked,
            own = own.as_deref().unwrap_or("unknown"),
            refused,
            "a page of another origin was refused: if it is this server's, look at --public-url and at the Host that \
             the proxy sends; else --allowed-origin allows it"
        );
    }
    let refusal = Refusal::new(Code::Forbidden, "pages of this origin may not use the server");
    Problem::from(refusal).with_own_origin(own).into_response()
}
