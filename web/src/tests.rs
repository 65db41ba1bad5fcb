use std::io::Read;

use axum::body::Body;
use axum::response::Response;
use flate2::read::GzDecoder;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

fn web(frame_ancestors: &str) -> crate::Web {
    crate::Web::new(frame_ancestors, |name| name.len() < 20)
}

async fn get(path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    web("'none'").router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn each_kind_of_file_has_its_type() {
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/r/any-room_1", "text/html; charset=utf-8"),
        ("/m/0123456789abcdef", "text/html; charset=utf-8"),
        ("/meetings", "text/html; charset=utf-8"),
        ("/api", "text/html; charset=utf-8"),
        ("/page/room.js", "text/javascript; charset=utf-8"),
        ("/sdk/transport/sse.js", "text/javascript; charset=utf-8"),
        ("/sdk/v1/index.js", "text/javascript; charset=utf-8"),
        ("/sdk/v1/visavis.js", "text/javascript; charset=utf-8"),
        ("/page/style/base.css", "text/css; charset=utf-8"),
        ("/page/locales/en.json", "application/json"),
        ("/page/icon.svg", "image/svg+xml"),
    ] {
        let response = get(path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], content_type, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_of_the_page_is_not_found() {
    for path in [
        "/page/nothing.js",
        "/page/room.html",
        "/page/../Cargo.toml",
        "/page/%2e%2e/Cargo.toml",
        "/sdk/",
        "/sdk/index",
        "/r",
    ] {
        assert_eq!(get(path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_version_that_the_browser_has_is_not_sent_again() {
    let first = get("/sdk/index.js", &[]).await;
    assert_eq!(first.headers()["cache-control"], "no-cache");
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let again = get("/sdk/index.js", &[("if-none-match", &etag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()["etag"], etag.as_str());
    assert_eq!(text(again).await, "");
    let other = get("/page/room.js", &[("if-none-match", &etag)]).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn each_coding_of_the_content_has_a_tag_of_its_own() {
    let plain = get("/page/room.js", &[]).await;
    let etag = plain.headers()["etag"].to_str().unwrap().to_owned();
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = text(plain).await;
    for accepted in ["gzip", "br, GZIP;q=0.5"] {
        let coded = get("/page/room.js", &[("accept-encoding", accepted)]).await;
        assert_eq!(coded.headers()["content-encoding"], "gzip");
        assert!(coded.headers()["vary"].to_str().unwrap().contains("accept-encoding"));
        let other = coded.headers()["etag"].to_str().unwrap().to_owned();
        assert_ne!(other, etag);
        let bytes = coded.into_body().collect().await.unwrap().to_bytes();
        assert!(bytes.len() * 3 < plain.len(), "{} of {}", bytes.len(), plain.len());
        let mut read = String::new();
        GzDecoder::new(&*bytes).read_to_string(&mut read).unwrap();
        assert!(read == plain);
        for (known, status) in [(&other, StatusCode::NOT_MODIFIED), (&etag, StatusCode::OK)] {
            let headers = [("accept-encoding", accepted), ("if-none-match", known.as_str())];
            assert_eq!(get("/page/room.js", &headers).await.status(), status);
        }
    }
    for refused in ["br", "gzip;q=0", "identity"] {
        let response = get("/page/room.js", &[("accept-encoding", refused)]).await;
        assert!(!response.headers().contains_key("content-encoding"), "{refused}");
    }
    // What fits into a packet is sent as it is.
    let small = get("/page/base/root.js", &[("accept-encoding", "gzip")]).await;
    assert!(!small.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn the_policy_allows_this_origin_alone() {
    let response = get("/r/a", &[("host", "calls.example:8443")]).await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self' ws://calls.example:8443 wss://calls.example:8443",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.split("; ").any(|part| part == directive), "{directive} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    assert!(response.headers()["permissions-policy"].to_str().unwrap().contains("camera=(self)"));
}

#[tokio::test]
async fn a_forged_host_adds_nothing_to_the_policy() {
    let response = get("/", &[("host", "a; script-src *")]).await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("connect-src 'self';"), "{policy}");
}

#[tokio::test]
async fn frames_are_allowed_where_asked_for_and_only_as_a_directive() {
    for (asked, said) in [
        ("https://a.example https://b.example", "frame-ancestors https://a.example https://b.example;"),
        ("'self'", "frame-ancestors 'self';"),
        ("https://a.example; script-src *", "frame-ancestors 'none';"),
        ("", "frame-ancestors 'none';"),
    ] {
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = web(asked).router().oneshot(request).await.unwrap();
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains(said), "{asked:?} gave {policy}");
        let request = Request::get("/r/a").body(Body::empty()).unwrap();
        let page = text(web(asked).router().oneshot(request).await.unwrap()).await;
        let listed = said.trim_start_matches("frame-ancestors ").trim_end_matches(';');
        assert!(page.contains(&format!("<meta name=\"frame-ancestors\" content=\"{listed}\">")), "{page}");
    }
}

/// Addresses of all documents; the last two have no page.
const DOCUMENTS: [&str; 9] = [
    "/",
    "/api",
    "/check",
    "/meetings",
    "/m/a",
    "/r/a",
    "/r/a/recordings",
    "/r/%E0%A4%A",
    "/r/%zz/recordings",
];

#[tokio::test]
async fn a_document_has_one_head_and_its_texts_in_english() {
    for path in DOCUMENTS {
        let document = text(get(path, &[]).await).await;
        for once in ["<!doctype html>", "<title>", "name=\"viewport\"", "<body", "support.js"] {
            assert_eq!(document.matches(once).count(), 1, "{path} has {once}");
        }
        for named in document.split("data-text=\"").skip(1) {
            let (tag, rest) = named.split_once('>').unwrap();
            assert!(!rest.starts_with('<'), "{path} has no text for {tag}");
        }
    }
    let landing = text(get("/", &[]).await).await;
    assert!(
        landing.contains("data-text=\"landing.title\">Face to face, from your own server.</h1>"),
        "{landing}"
    );
}

#[tokio::test]
async fn a_document_that_the_browser_has_is_not_sent_again() {
    let first = get("/r/a", &[]).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(get("/r/b", &[("if-none-match", &etag)]).await.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(get("/m/a", &[("if-none-match", &etag)]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_documents_have_nothing_inline_and_nothing_from_elsewhere() {
    for path in DOCUMENTS {
        let document = text(get(path, &[]).await).await;
        let absolute = ["href=\"/", "src=\"/"];
        for forbidden in ["style=", "<style", "onclick", "http://", "https://"].into_iter().chain(absolute) {
            assert!(!document.contains(forbidden), "{path} has {forbidden}");
        }
        assert_eq!(
            document.matches("<script").count(),
            document.matches("<script type=\"module\" src=\".").count()
                + document.matches("<script src=\".").count()
        );
    }
}

/// The resources that a document loads, as a browser at this path resolves them.
fn loaded(path: &str, document: &str) -> Vec<String> {
    let folders: Vec<_> = path.split('/').collect();
    let links = document.split([' ', '>']).filter_map(|part| {
        part.strip_prefix("href=\"").or_else(|| part.strip_prefix("src=\""))?.strip_suffix('"')
    });
    links
        .map(|link| {
            let mut found = folders[..folders.len() - 1].to_vec();
            for step in link.split('/') {
                match step {
                    ".." => drop(found.pop()),
                    "." => {}
                    step => found.push(step),
                }
            }
            found.join("/")
        })
        .collect()
}

#[tokio::test]
async fn documents_find_what_they_load_at_any_depth() {
    let nowhere = http::Uri::from_static("/a/b/c");
    let accept = [(http::header::ACCEPT, "text/html".parse().unwrap())].into_iter().collect();
    let stray = web("'none'").no_page(&http::Method::GET, &nowhere, &accept).unwrap();
    assert_eq!(stray.status(), StatusCode::NOT_FOUND);
    let mut documents = vec![("/a/b/c", text(stray).await)];
    for path in DOCUMENTS {
        documents.push((path, text(get(path, &[]).await).await));
    }
    for (path, document) in documents {
        let loaded = loaded(path, &document);
        assert!(loaded.iter().any(|file| file.contains(".js")), "{path} {loaded:?}");
        for file in loaded {
            assert_eq!(get(&file, &[]).await.status(), StatusCode::OK, "{path} leads to {file}");
        }
    }
}

#[tokio::test]
async fn what_is_no_name_of_a_room_gets_a_page_that_says_so() {
    for path in ["/r/%E0%A4%A", "/r/%FF", "/r/a-name-that-is-too-long", "/r/%E0%A4%A/recordings"] {
        let response = get(path, &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert!(response.headers().contains_key("content-security-policy"), "{path}");
        assert!(text(response).await.contains("No room can have this name"), "{path}");
    }
}

#[tokio::test]
async fn a_slash_at_the_end_is_redirected_away() {
    for (path, place) in [
        ("/r/standup/", "/r/standup"),
        ("/r/%D0%BA/?role=viewer", "/r/%D0%BA?role=viewer"),
        ("/r/standup/recordings/", "/r/standup/recordings"),
        ("/m/0123456789abcdef/", "/m/0123456789abcdef"),
        ("/meetings/", "/meetings"),
        ("/check/", "/check"),
        ("/api/", "/api"),
    ] {
        let response = get(path, &[]).await;
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT, "{path}");
        assert_eq!(response.headers()["location"], place);
    }
}

#[tokio::test]
async fn the_sdk_is_for_pages_of_every_origin_and_the_page_is_not() {
    for (path, shared) in [
        ("/sdk/index.js", true),
        ("/sdk/v1/transport/sse.js", true),
        ("/sdk/v1/visavis.js", true),
        ("/page/room.js", false),
        ("/r/a", false),
    ] {
        let response = get(path, &[("origin", "https://school.example")]).await;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("access-control-allow-origin"), shared.then_some("*"), "{path}");
        assert_eq!(header("cross-origin-resource-policy"), shared.then_some("cross-origin"), "{path}");
    }
}

/// A document needs no file of which its browser learns only from another file; of what a script fetches itself, this
/// tells nothing.
#[tokio::test]
async fn a_document_loads_all_of_its_script_and_style_at_once() {
    for path in DOCUMENTS {
        let document = text(get(path, &[]).await).await;
        let mut files = loaded(path, &document);
        files.retain(|file| matches!(file.rsplit_once('.'), Some((_, "js" | "css"))));
        assert_eq!(files.len(), 3, "{path} loads {files:?}");
        for file in files {
            let content = text(get(&file, &[]).await).await;
            let other = content.lines().find(|line| line.starts_with("import ") || line.contains("@import"));
            assert_eq!(other, None, "{file}");
        }
    }
}

#[tokio::test]
async fn the_bundle_imports_nothing() {
    let bundle = text(get("/sdk/v1/visavis.js", &[]).await).await;
    let statements: Vec<_> =
        bundle.lines().filter(|line| line.starts_with("import") || line.starts_with("export")).collect();
    assert_eq!(statements.len(), 1, "{statements:?}");
    for name in ["Call", "HostPowers", "RefusedError", "SfuCall"] {
        assert!(
            statements[0].contains(&format!(" {name},")) || statements[0].contains(&format!(" {name} }}")),
            "{name} in {statements:?}"
        );
    }
    let etag = get("/sdk/v1/visavis.js", &[]).await.headers()["etag"].to_str().unwrap().to_owned();
    let again = get("/sdk/v1/visavis.js", &[("if-none-match", &etag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}
