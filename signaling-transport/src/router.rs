//! The routes of the service, and the rules that apply to all of them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::get;
use http_api::{method_not_allowed, unsniffed};

use crate::http::{self, origin};
use crate::service::Signaling;
use crate::{socketio, websocket};

impl Signaling {
    /// The routes of the enabled transports: `/api/v1`, `/socket.io/`, `/whip` and `/whep`.
    pub fn router(&self) -> Router {
        let transports = self.transports();
        let mut routes = http::routes();
        if transports.sse {
            routes = routes.merge(http::session_routes(self.limits()));
        }
        if transports.websocket {
            routes = routes.route("/api/v1/ws", get(websocket::upgrade));
        }
        if transports.socketio {
            routes = routes.merge(socketio::routes(self));
        }
        self.guard(routes.with_state(self.clone()))
    }

    /// Applies the rules of the API to routes of the embedder: origins are checked, bodies are limited, wrong methods
    /// are answered with a [`Problem`](http_api::Problem), and browsers may not guess the type of an answer.
    pub fn guard(&self, routes: Router) -> Router {
        routes
            .layer(DefaultBodyLimit::max(self.limits().message_bytes))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn_with_state(self.clone(), origin::check))
            .layer(map_response(unsniffed))
    }

    /// Lets pages of allowed foreign origins read the answers of these routes; no request is refused.
    pub fn share(&self, routes: Router) -> Router {
        routes
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn_with_state(self.clone(), origin::share))
    }
}
