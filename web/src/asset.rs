//! Content served with an entity tag: a file from the repository, or a document.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::{bundle, document};

pub(crate) const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

#[derive(RustEmbed)]
#[folder = "page"]
struct Page;

#[derive(RustEmbed)]
#[folder = "sdk"]
struct Sdk;

/// The location of the content.
#[derive(Clone, Copy)]
pub(crate) enum Folder {
    Page,
    Sdk,
}

impl Folder {
    pub(crate) fn get(self, path: &str) -> Option<EmbeddedFile> {
        match self {
            Self::Page => Page::get(path),
            Self::Sdk => Sdk::get(path),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Asset {
    content: Bytes,
    content_type: &'static str,
    etag: String,
}

impl Asset {
    /// A file that browsers load by its path.
    pub(crate) fn file(folder: Folder, path: &str) -> Option<Self> {
        let content_type = content_type(path)?;
        let file = folder.get(path)?;
        let hash = file.metadata.sha256_hash();
        let etag = hash.iter().take(12).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let content = match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => data.into(),
        };
        Some(Self { content, content_type, etag: format!("\"{etag}\"") })
    }

    /// A document for addresses `depth` folders below `/`.
    pub(crate) fn document(name: &str, depth: usize) -> Self {
        Self::composed(document::at_depth(&document::compose(name), depth), HTML)
    }

    /// The same, for a document that talks to pages of `frame_ancestors`, which show it in a frame.
    pub(crate) fn document_in_frames(name: &str, depth: usize, frame_ancestors: &str) -> Self {
        let text = document::at_depth(&document::compose(name), depth);
        Self::composed(text.replace("{frame-ancestors}", &frame_ancestors.replace('"', "")), HTML)
    }

    /// The SDK as one module.
    pub(crate) fn bundle() -> Self {
        Self::composed(bundle::compose("index.js"), JAVASCRIPT)
    }

    fn composed(text: String, content_type: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { etag: format!("\"{:016x}\"", hasher.finish()), content: text.into(), content_type }
    }

    /// The content, or 304 if the browser already has this version.
    pub(crate) fn respond(self, request: &HeaderMap) -> Response {
        let known = request.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|known| {
            known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.etag || tag.trim() == "*")
        });
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Body::from(self.content).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            response
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(ETAG, etag);
        }
        response
    }
}

/// The content type by file extension; `None` for files that browsers do not load by path. Documents have addresses of
/// their own.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "js" => JAVASCRIPT,
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => return None,
    })
}
