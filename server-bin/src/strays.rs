//! Requests that no route takes.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use signaling_core::{Code, Refusal};
use signaling_transport::Problem;
use web::Web;

/// 404 for a path that is none of ours: a page for people, a problem for programs.
pub(crate) fn not_found(web: &Web, request: &Request) -> Response {
    web.no_page(request.method(), request.uri(), request.headers()).unwrap_or_else(|| {
        Problem::from(Refusal::new(Code::NotFound, "there is nothing at this path")).into_response()
    })
}

/// 405 for a path that exists; the router says in `Allow` what it takes.
pub(crate) async fn method_not_allowed() -> Problem {
    let refusal = Refusal::bad_request("this path takes other methods; see `Allow`");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}
