//! The wire protocol over plain HTTP: `/api/v1`, `/whip` and `/whep`.

mod captions;
mod causes;
mod credentials;
mod media;
mod media_headers;
pub(crate) mod origin;
mod powers;
mod room_path;
mod rooms;
mod sessions;
mod stream;
mod tokens;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use http_api::Problem;
use signaling_core::{Limits, Refusal};

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

/// The routes for other programs, and for media by plain HTTP.
pub(crate) fn routes() -> Router<Signaling> {
    Router::new()
        .route("/api/v1/rooms", get(rooms::list).post(rooms::make))
        .route("/api/v1/rooms/{room}", get(rooms::show).patch(powers::change).delete(rooms::end))
        .route("/api/v1/rooms/{room}/actions", post(powers::act))
        .route("/api/v1/rooms/{room}/peers/{peer}", delete(powers::remove))
        .route("/api/v1/rooms/{room}/peers/{peer}/mute", post(powers::mute))
        .route("/api/v1/rooms/{room}/captions", post(captions::push))
        .route("/api/v1/rooms/{room}/messages", post(captions::announce))
        .route("/api/v1/rooms/{room}/participants", get(rooms::participants))
        .route("/api/v1/rooms/{room}/peers", get(rooms::peers))
        .route("/api/v1/rooms/{room}/stats", get(rooms::statistics))
        .route("/api/v1/rooms/{room}/end", post(rooms::end))
        .route("/api/v1/rooms/{room}/tokens", post(tokens::mint))
        .route("/api/v1/ice-servers", get(sessions::ice_servers))
        .route("/api/v1/media-path", get(causes::media_path))
        .route("/api/v1/causes", post(causes::report))
        .merge(media::routes())
}

/// The routes of the transport by POST and server-sent events.
pub(crate) fn session_routes(limits: &Limits) -> Router<Signaling> {
    // A POST may contain one `signal`, which may be larger than other messages.
    let messages = post(sessions::post).layer(DefaultBodyLimit::max(limits.signal_bytes));
    Router::new()
        .route("/api/v1/sessions", post(sessions::open))
        .route("/api/v1/sessions/{session}", delete(sessions::leave))
        .route("/api/v1/sessions/{session}/events", get(stream::open))
        .route("/api/v1/sessions/{session}/messages", messages)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_is_json() {
        let described: serde_json::Value = serde_json::from_str(super::OPENAPI).unwrap();
        assert!(described["paths"].is_object() && described["components"]["schemas"].is_object());
    }
}
