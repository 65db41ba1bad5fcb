//! Requests that no route takes.

use http::StatusCode;
use signaling_core::{Code, Refusal};
use signaling_transport::Problem;

/// 404 for a path that is none of ours.
pub(crate) async fn not_found() -> Problem {
    Refusal::new(Code::NotFound, "there is nothing at this path").into()
}

/// 405 for a path that exists; the router says in `Allow` what it takes.
pub(crate) async fn method_not_allowed() -> Problem {
    let refusal = Refusal::bad_request("this path takes other methods; see `Allow`");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}
