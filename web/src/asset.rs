//! Content served with an entity tag: a file from the repository, or what is composed of several.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::{bundle, document};

pub(crate) const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Content shorter than this fits into one packet anyway.
const COMPRESSED_FROM: usize = 1024;

#[derive(RustEmbed)]
#[folder = "page"]
struct Page;

#[derive(RustEmbed)]
#[folder = "sdk"]
struct Sdk;

/// Where content comes from.
#[derive(Clone, Copy)]
pub(crate) enum Folder {
    Page,
    Sdk,
}

/// The files with an extension, by their paths below the root of the page, without a slash at the beginning.
pub(crate) fn paths(extension: &str) -> impl Iterator<Item = String> {
    let paths =
        Page::iter().map(|path| format!("page/{path}")).chain(Sdk::iter().map(|path| format!("sdk/{path}")));
    paths.filter(move |path| path.rsplit_once('.').is_some_and(|(_, ending)| ending == extension))
}

/// The text of a file by such a path; empty if there is none.
pub(crate) fn text(path: &str) -> String {
    let file = match path.split_once('/') {
        Some(("page", path)) => Page::get(path),
        Some(("sdk", path)) => Sdk::get(path),
        _ => None,
    };
    file.map(|file| String::from_utf8_lossy(&file.data).into_owned()).unwrap_or_default()
}

#[derive(Clone)]
pub(crate) struct Asset {
    content: Bytes,
    content_type: &'static str,
    /// Without its quotation marks.
    etag: String,
    /// The content in the coding `gzip` (RFC 9110 section 8.4.1.3), made for the first client that accepts it; `None` if it
    /// gains nothing.
    gzip: Arc<OnceLock<Option<Bytes>>>,
}

impl Asset {
    /// The files of a folder that browsers load by their path in it. The script and the style sheet of a document are
    /// served with everything that they import.
    pub(crate) fn folder(folder: Folder) -> HashMap<String, Self> {
        let file = |path: Cow<'static, str>, file: Option<EmbeddedFile>| {
            Some((path.to_string(), Self::file(&path, file?)?))
        };
        match folder {
            Folder::Sdk => Sdk::iter().filter_map(|path| file(path.clone(), Sdk::get(&path))).collect(),
            Folder::Page => {
                let files = Page::iter().filter_map(|path| file(path.clone(), Page::get(&path)));
                let mut files: HashMap<_, _> = files.collect();
                for name in document::names() {
                    let script = format!("page/{name}.js");
                    files.insert(
                        format!("{name}.js"),
                        Self::composed(bundle::script(&script, &script), JAVASCRIPT),
                    );
                    let style = bundle::style(&format!("page/{name}.css"));
                    files.insert(format!("{name}.css"), Self::composed(style, STYLE));
                }
                files
            }
        }
    }

    fn file(path: &str, file: EmbeddedFile) -> Option<Self> {
        let content_type = content_type(path)?;
        let hash = file.metadata.sha256_hash();
        let etag = hash.iter().take(12).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let content = match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => data.into(),
        };
        Some(Self { content, content_type, etag, gzip: Arc::default() })
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
    pub(crate) fn sdk() -> Self {
        Self::composed(bundle::script("sdk/index.js", "sdk/v1/visavis.js"), JAVASCRIPT)
    }

    fn composed(text: String, content_type: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let etag = format!("{:016x}", hasher.finish());
        Self { etag, content: text.into(), content_type, gzip: Arc::default() }
    }

    /// The content, or 304 if the browser already has this version.
    pub(crate) fn respond(&self, request: &HeaderMap) -> Response {
        let compressed = if accepts_gzip(request) { self.compressed() } else { None };
        // Each coding of the content is a representation with a tag of its own (RFC 9110 section 8.8.3.3).
        let etag = format!("\"{}{}\"", self.etag, if compressed.is_some() { "-gzip" } else { "" });
        let known = request.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|known| {
            known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*")
        });
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let coded = compressed.is_some();
            let mut response = Body::from(compressed.unwrap_or_else(|| self.content.clone())).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            if coded {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        response
    }

    fn compressed(&self) -> Option<Bytes> {
        let compress = || {
            if self.content.len() < COMPRESSED_FROM || self.content_type == "image/png" {
                return None;
            }
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&self.content).ok()?;
            encoder.finish().ok().map(Bytes::from)
        };
        self.gzip.get_or_init(compress).clone()
    }
}

/// Whether the client takes the coding `gzip` (RFC 9110 section 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// The content type by file extension; `None` for files that browsers do not load by path. Documents have addresses of
/// their own.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "js" => JAVASCRIPT,
        "css" => STYLE,
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => return None,
    })
}
