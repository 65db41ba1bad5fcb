//! The documents, composed when the server starts, since there is no build step.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::asset;

/// Maximum depth of a page; it limits the response to an address with many slashes.
const DEEPEST: usize = 16;

/// The English texts by key: a document is in English until its script translates it.
static ENGLISH: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(&source("locales/en.json")).unwrap_or_default());

/// The names of the documents' scripts and style sheets, which are beside them: `room` for `page/room.js`.
pub(crate) fn names() -> impl Iterator<Item = String> {
    asset::paths("html").filter_map(|path| {
        let text = asset::text(&path);
        let (_, script) = text.split_once("<script type=\"module\" src=\"./page/")?;
        Some(script.split_once(".js\"")?.0.to_owned())
    })
}

/// The HTML of a document: `head.html`, then its own file. Links begin with `./`, as if the document were at `/`.
pub(crate) fn compose(name: &str) -> String {
    with_texts(&(source("head.html") + &source(name)))
}

/// The HTML of the document for an address without a page; `what` selects its texts in the section `stray` of the
/// catalogues.
pub(crate) fn compose_stray(what: &str) -> String {
    with_texts(&(source("head.html") + &source("stray.html").replace("{what}", what)))
}

/// The document with links for an address `depth` folders below `/`.
pub(crate) fn at_depth(document: &str, depth: usize) -> String {
    let up = if depth == 0 { "./".to_owned() } else { "../".repeat(depth.min(DEEPEST)) };
    document.replace("\"./", &format!("\"{up}"))
}

fn source(name: &str) -> String {
    asset::text(&format!("page/{name}"))
}

/// Inserts the English text of its key into each element with a `data-text`.
fn with_texts(document: &str) -> String {
    let mut parts = document.split_inclusive("data-text=\"");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tag, rest) = part.split_once('>').unwrap_or((part, ""));
        let text = tag.split('"').next().and_then(|key| ENGLISH.get(key));
        let text = text.map(|text| text.replace('&', "&amp;").replace('<', "&lt;")).unwrap_or_default();
        filled.extend([tag, ">", text.as_str(), rest]);
    }
    filled
}
