//! The routes of the server.

use std::sync::Arc;

use ::meetings::Meetings;
use axum::Router;
use signaling_core::{RoomName, ServerKey};
use signaling_transport::Signaling;
use web::Web;

use crate::config::{FrameAncestor, OnOff, PublicUrl, Settings};
use crate::fallback;
use crate::health::Health;
use crate::meetings;
use crate::recordings::{Api, Recordings};
use crate::status::{self, About, Status};

/// All routes, and the response to requests without one.
pub(crate) fn all(
    settings: &Settings,
    signaling: &Signaling,
    meetings: Meetings,
    recordings: Option<&Recordings>,
    key: ServerKey,
    health: Arc<Health>,
) -> Router {
    let mut features = signaling.features().to_vec();
    features.extend(settings.smtp.is_some().then(|| "mail".to_owned()));
    let anonymous = settings.anonymous_rooms == OnOff::On;
    features.extend(anonymous.then(|| "anonymous-rooms".to_owned()));
    let about = About { name: "visavis", version: version(settings), features };
    let web = Web::new(&frame_ancestors(settings), |name| RoomName::parse(name).is_ok());
    let api_keys = Arc::new(meetings.clone());
    let mut router = signaling
        .share(status::router(Status { health, about }))
        .merge(signaling.router())
        .merge(meetings::router(signaling, meetings, recordings.is_some()))
        .merge(web.router())
        .method_not_allowed_fallback(http_api::method_not_allowed);
    if let Some(recordings) = recordings {
        let api = Api::new(recordings, signaling, key, api_keys, public_path(settings));
        router = router.merge(signaling.guard(api.router()));
    }
    fallback::with_fallback(signaling, web, router).layer(axum::middleware::map_response(http_api::unsniffed))
}

/// The path of the server's public URL, without a trailing slash.
pub(crate) fn public_path(settings: &Settings) -> &str {
    settings.public_url.as_ref().map_or("", PublicUrl::path)
}

/// The version that the server reports.
pub(crate) fn version(settings: &Settings) -> String {
    settings.app_version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
}

/// The sites that may show the page in a frame, in the syntax of the content security policy.
fn frame_ancestors(settings: &Settings) -> String {
    if settings.frame_ancestors.is_empty() {
        return "'none'".to_owned();
    }
    settings.frame_ancestors.iter().map(FrameAncestor::source).collect::<Vec<_>>().join(" ")
}
