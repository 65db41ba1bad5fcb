//! The wire protocol's HTTP surface: `/api/v1`, `/socket.io/`, `/whip` and `/whep`.

mod credentials;
mod media;
mod origin;
mod rooms;
mod sessions;
mod stream;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use http_api::{Problem, method_not_allowed, unsniffed};
use signaling_core::Refusal;

/// The `OpenAPI` 3.1 description of the routes that other applications use: `paths` and `components`, for a document
/// whose components include the response `Refused` and the security scheme `bearer`.
pub const OPENAPI: &str = include_str!("openapi.json");

use crate::driver::Stopped;
use crate::service::Signaling;

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        Refusal::from(stopped).into()
    }
}

/// The routes of the enabled transports.
pub(crate) fn router(signaling: &Signaling) -> Router {
    let limits = signaling.limits();
    let mut routes = Router::new()
        .route("/api/v1/rooms", get(rooms::list).post(rooms::make))
        .route("/api/v1/rooms/{room}", get(rooms::show))
        .route("/api/v1/rooms/{room}/participants", get(rooms::participants))
        .route("/api/v1/rooms/{room}/peers", get(rooms::peers))
        .route("/api/v1/rooms/{room}/end", post(rooms::end))
        .route("/api/v1/rooms/{room}/tokens", post(rooms::mint))
        .route("/api/v1/ice-servers", get(sessions::ice_servers))
        .merge(media::routes());
    if signaling.transports().sse {
        // A POST may contain one `signal`, which may be larger than other messages.
        let messages = post(sessions::post).layer(DefaultBodyLimit::max(limits.signal_bytes));
        routes = routes
            .route("/api/v1/sessions", post(sessions::open))
            .route("/api/v1/sessions/{session}", axum::routing::delete(sessions::leave))
            .route("/api/v1/sessions/{session}/events", get(stream::open))
            .route("/api/v1/sessions/{session}/messages", messages);
    }
    if signaling.transports().websocket {
        routes = routes.route("/api/v1/ws", get(crate::websocket::upgrade));
    }
    if signaling.transports().socketio {
        routes = routes.merge(crate::socketio::routes());
    }
    guard(signaling, routes.with_state(signaling.clone()))
}

/// The rules for all routes of the API: the size of a body, the answer to a wrong method, the permitted origins, and no
/// sniffing of answers.
pub(crate) fn guard(signaling: &Signaling, routes: Router) -> Router {
    routes
        .layer(DefaultBodyLimit::max(signaling.limits().message_bytes))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(signaling.clone(), origin::check))
        .layer(axum::middleware::map_response(unsniffed))
}

/// Lets pages of allowed foreign origins read the answers of routes outside the API.
pub(crate) fn share(signaling: &Signaling, routes: Router) -> Router {
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(signaling.clone(), origin::share))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_is_json() {
        let described: serde_json::Value = serde_json::from_str(super::OPENAPI).unwrap();
        assert!(described["paths"].is_object() && described["components"]["schemas"].is_object());
    }
}
