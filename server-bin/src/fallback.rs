//! Requests without a matching route.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::uri::{PathAndQuery, Uri};
use http_api::Problem;
use signaling_core::{Code, Refusal};
use signaling_transport::Signaling;
use tower::ServiceExt as _;
use web::Web;

/// The routes, and 404 for all other paths. Below `/api/` a path may end in a slash.
pub(crate) fn with_fallback(signaling: &Signaling, web: Web, served: Router) -> Router {
    let nothing = web.clone();
    let inner = served.clone().fallback(async move |request: Request| not_found(&nothing, &request));
    let fallback = Router::new().fallback(without_slash).with_state(Fallback { inner, web });
    served.fallback_service(signaling.share(fallback))
}

#[derive(Clone)]
struct Fallback {
    inner: Router,
    web: Web,
}

async fn without_slash(State(Fallback { inner, web }): State<Fallback>, mut request: Request) -> Response {
    match trimmed(request.uri()) {
        Some(uri) => {
            *request.uri_mut() = uri;
            let Ok(response) = inner.oneshot(request).await;
            response
        }
        None => not_found(&web, &request),
    }
}

/// The same without its trailing slash, if there is one and it is permitted.
fn trimmed(uri: &Uri) -> Option<Uri> {
    let path =
        uri.path().strip_suffix('/').filter(|path| path.starts_with("/api/") && !path.ends_with('/'))?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

/// 404 for an unknown path: a page for people, a problem for programs.
fn not_found(web: &Web, request: &Request) -> Response {
    web.no_page(request.method(), request.uri(), request.headers()).unwrap_or_else(|| {
        Problem::from(Refusal::new(Code::NotFound, "there is nothing at this path")).into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_below_the_interface_is_one_too_many() {
        let of = |uri: &str| trimmed(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(of("/api/v1/meetings/").as_deref(), Some("/api/v1/meetings"));
        assert_eq!(of("/api/v1/meetings/?limit=1").as_deref(), Some("/api/v1/meetings?limit=1"));
        for other in ["/", "/api/v1/meetings", "/api/v1/meetings//", "/r/standup/", "/apis/x/"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
