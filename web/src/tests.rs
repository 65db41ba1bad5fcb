use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

async fn get(path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    crate::router("'none'").oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
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
    for path in
        ["/page/nothing.js", "/page/../Cargo.toml", "/page/%2e%2e/Cargo.toml", "/sdk/", "/sdk/index", "/r"]
    {
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
        let response = crate::router(asked).oneshot(request).await.unwrap();
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains(said), "{asked:?} gave {policy}");
    }
}

#[tokio::test]
async fn the_documents_have_nothing_inline_and_nothing_from_elsewhere() {
    for path in ["/", "/r/a", "/m/a", "/meetings", "/api"] {
        let document = text(get(path, &[]).await).await;
        for forbidden in ["style=", "<style", "onclick", "http://", "https://"] {
            assert!(!document.contains(forbidden), "{path} has {forbidden}");
        }
        assert_eq!(
            document.matches("<script").count(),
            document.matches("<script type=\"module\" src=\"/").count()
        );
    }
}
