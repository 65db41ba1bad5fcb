//! A file of the page.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "page"]
struct Page;

#[derive(RustEmbed)]
#[folder = "sdk"]
struct Sdk;

/// Folders above a document whose links are still led up.
const DEEPEST: usize = 16;

/// Where a file lies.
#[derive(Clone, Copy)]
pub(crate) enum Folder {
    Page,
    Sdk,
}

pub(crate) struct Asset {
    file: EmbeddedFile,
    content_type: &'static str,
}

impl Asset {
    pub(crate) fn find(folder: Folder, path: &str) -> Option<Self> {
        let content_type = content_type(path)?;
        let file = match folder {
            Folder::Page => Page::get(path),
            Folder::Sdk => Sdk::get(path),
        };
        Some(Self { file: file?, content_type })
    }

    /// The file, or 304 when the browser has this very version.
    pub(crate) fn respond(self, request: &HeaderMap) -> Response {
        let etag = self.etag();
        let known = request.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|known| {
            known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*")
        });
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Body::from(self.file.data).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            response
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        response
    }

    /// The document for an address so many folders below the first: its links, which begin with `./`, lead up from there.
    pub(crate) fn respond_at(self, status: StatusCode, depth: usize) -> Response {
        // Nobody's page lies deeper; what a stranger asks for must not be answered with much more.
        let up = if depth == 0 { "./".to_owned() } else { "../".repeat(depth.min(DEEPEST)) };
        let text = String::from_utf8_lossy(&self.file.data).replace("\"./", &format!("\"{up}"));
        let headers = [(CONTENT_TYPE, self.content_type), (CACHE_CONTROL, "no-store")];
        (status, headers, text).into_response()
    }

    fn etag(&self) -> String {
        let hash = self.file.metadata.sha256_hash();
        let hex = hash.iter().take(12).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        format!("\"{hex}\"")
    }
}

/// By the file's ending; `None` for what the page has no use for.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => return None,
    })
}
