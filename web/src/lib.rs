//! The page and the JavaScript SDK of Visavis, embedded.
//!
//! There is no build step: the HTML documents, which share one head, and the script and style sheet of each are composed
//! from the files of the repository when the server starts. [`Web`] serves everything with a content security policy that
//! allows only this origin, and with `ETag`s: a browser keeps its copy until a new version of the server changes it.
//! Documents and modules refer to one another by relative paths, so they work below any path.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use axum::{body::Body, http::Request};
//! use tower::ServiceExt;
//!
//! let page = web::Web::new("'none'", |name| !name.contains('/')).router();
//! let answer = page.oneshot(Request::get("/r/standup").body(Body::empty()).unwrap()).await.unwrap();
//! assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
//! # }
//! ```

#![forbid(unsafe_code)]

mod asset;
mod bundle;
mod document;
mod policy;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode, Uri};

use asset::{Asset, Folder, HTML};
use policy::Policy;

/// The landing page, the room page, the connection check, the page of the HTTP interface, the SDK and everything they
/// load.
#[derive(Clone, Debug)]
pub struct Web {
    policy: Arc<Policy>,
    no_page: Arc<str>,
    no_room: Arc<str>,
    is_room: fn(&str) -> bool,
}

/// Documents at a fixed address.
const DOCUMENTS: [(&str, &str); 3] =
    [("/api", "api.html"), ("/check", "check.html"), ("/meetings", "meetings.html")];

impl Web {
    /// `frame_ancestors` lists the origins that may embed the page, in the syntax of the content security policy's
    /// directive of that name: `'none'`, `'self'`, or origins separated by spaces. An invalid header value counts as
    /// `'none'`. `is_room` decides whether a name is a valid room name; for other names, a document says so.
    pub fn new(frame_ancestors: &str, is_room: fn(&str) -> bool) -> Self {
        Self {
            policy: Arc::new(Policy::new(frame_ancestors)),
            no_page: document::compose_stray("nothing").into(),
            no_room: document::compose_stray("noRoom").into(),
            is_room,
        }
    }

    /// The routes. An address of a document with a trailing slash is redirected to the one without.
    pub fn router(&self) -> Router {
        let mut routes = Router::new()
            .route("/", self.document("index.html", 0))
            .route("/r/{room}", self.room("room.html", 1))
            .route("/r/{room}/", get(without_slash))
            .route("/r/{room}/recordings", self.room("recordings.html", 2))
            .route("/r/{room}/recordings/", get(without_slash))
            .route("/m/{meeting}", self.document("meeting.html", 1))
            .route("/m/{meeting}/", get(without_slash))
            .route("/page/{*path}", self.files(Folder::Page))
            .merge(self.sdk());
        for (path, name) in DOCUMENTS {
            routes =
                routes.route(path, self.document(name, 0)).route(&format!("{path}/"), get(without_slash));
        }
        routes
    }

    /// The document that reports a missing page to a browser; `None` for a request that does not ask for a document.
    pub fn no_page(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        let takes_html = headers
            .get_all(ACCEPT)
            .iter()
            .any(|accept| accept.to_str().is_ok_and(|text| text.contains("text/html")));
        let asks = takes_html && matches!(*method, Method::GET | Method::HEAD);
        asks.then(|| self.stray(StatusCode::NOT_FOUND, &self.no_page, uri, headers))
    }

    /// The SDK, which pages of any origin may load: its modules, and all of them as one. It needs no version other than that
    /// of the wire protocol, since names in it are never changed.
    fn sdk(&self) -> Router {
        let (web, bundle) = (self.clone(), Asset::sdk());
        let bundled = move |request: Request| async move {
            web.under_policy(request.headers(), bundle.respond(request.headers()))
        };
        Router::new()
            .route("/sdk/{*path}", self.files(Folder::Sdk))
            .route("/sdk/v1/{*path}", self.files(Folder::Sdk))
            .route("/sdk/v1/visavis.js", get(bundled))
            .layer(map_response(policy::for_any_origin))
    }

    fn files(&self, folder: Folder) -> MethodRouter {
        let (web, files) = (self.clone(), Arc::new(Asset::folder(folder)));
        get(move |Path(path): Path<String>, request: Request| async move {
            let response = match files.get(&path) {
                Some(asset) => asset.respond(request.headers()),
                None => StatusCode::NOT_FOUND.into_response(),
            };
            web.under_policy(request.headers(), response)
        })
    }

    /// A document at an address `depth` folders below the root.
    fn document(&self, name: &str, depth: usize) -> MethodRouter {
        let web = self.clone();
        let document = Asset::document(name, depth);
        get(move |request: Request| async move {
            web.under_policy(request.headers(), document.respond(request.headers()))
        })
    }

    /// A document about the room in the path.
    fn room(&self, name: &str, depth: usize) -> MethodRouter {
        let web = self.clone();
        let document = Asset::document_in_frames(name, depth, self.policy.frame_ancestors());
        get(move |room: Result<Path<String>, PathRejection>, request: Request| async move {
            match room {
                Ok(Path(room)) if (web.is_room)(&room) => {
                    web.under_policy(request.headers(), document.respond(request.headers()))
                }
                _ => web.stray(StatusCode::BAD_REQUEST, &web.no_room, request.uri(), request.headers()),
            }
        })
    }

    /// A document for an address of any depth.
    fn stray(&self, status: StatusCode, document: &str, uri: &Uri, headers: &HeaderMap) -> Response {
        let depth = uri.path().bytes().filter(|byte| *byte == b'/').count().saturating_sub(1);
        let about = [(CONTENT_TYPE, HTML), (CACHE_CONTROL, "no-store")];
        self.under_policy(headers, (status, about, document::at_depth(document, depth)).into_response())
    }

    fn under_policy(&self, headers: &HeaderMap, mut response: Response) -> Response {
        self.policy.apply(headers, response.headers_mut());
        response
    }
}

/// The same address without its trailing slash.
async fn without_slash(uri: Uri) -> Redirect {
    let path = uri.path().trim_end_matches('/');
    Redirect::permanent(&uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

#[cfg(test)]
mod tests;
