//! The page and the JavaScript SDK of Visavis, embedded.
//!
//! The files are native ES modules and go out as they lie in the repository: there is no build step. [`router`] serves
//! them with a content security policy that allows this origin and nothing else, and with `ETag`s, so that a browser
//! keeps what it has until a new version of the server changes it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use axum::{body::Body, http::Request};
//! use tower::ServiceExt;
//!
//! let page = web::router("'none'");
//! let answer = page.oneshot(Request::get("/r/standup").body(Body::empty()).unwrap()).await.unwrap();
//! assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
//! # }
//! ```

mod asset;
mod policy;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;

use asset::{Asset, Folder};
use policy::Policy;

/// The landing page, the room page, the connection check, the page of the HTTP interface, the SDK and everything they
/// load.
///
/// `frame_ancestors` are the origins that may show the page inside theirs, as the content security policy's directive of
/// that name wants them: `'none'`, `'self'`, or origins separated by spaces. What is not a legal header value counts
/// as `'none'`.
pub fn router(frame_ancestors: &str) -> Router {
    let policy = Arc::new(Policy::new(frame_ancestors));
    let served = |folder: Folder| {
        let policy = Arc::clone(&policy);
        get(move |Path(path): Path<String>, request: Request| async move {
            serve(folder, &path, &policy, &request)
        })
    };
    let document = |name: &'static str| {
        let policy = Arc::clone(&policy);
        get(move |request: Request| async move { serve(Folder::Page, name, &policy, &request) })
    };
    Router::new()
        .route("/", document("index.html"))
        .route("/api", document("api.html"))
        .route("/check", document("check.html"))
        .route("/r/{room}", document("room.html"))
        .route("/r/{room}/recordings", document("recordings.html"))
        .route("/m/{meeting}", document("meeting.html"))
        .route("/meetings", document("meetings.html"))
        .route("/page/{*path}", served(Folder::Page))
        .route("/sdk/{*path}", served(Folder::Sdk))
}

fn serve(folder: Folder, path: &str, policy: &Policy, request: &Request) -> Response {
    let mut response = match Asset::find(folder, path) {
        Some(asset) => asset.respond(request.headers()),
        None => StatusCode::NOT_FOUND.into_response(),
    };
    policy.apply(request.headers(), response.headers_mut());
    response
}

#[cfg(test)]
mod tests;
