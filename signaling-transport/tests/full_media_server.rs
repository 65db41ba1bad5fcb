//! WHIP and WHEP when the media plane is full.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use serde_json::Value;
use signaling_core::testing::RecordedMedia;
use signaling_core::{
    Code, Environment, HttpAnswer, HttpMedia, HttpOffer, HttpPatch, HttpReply, HttpSession, MediaDemand,
    Patched, PeerId, PeerStatistics, Reach, Refusal, RoomId, Rules, ServerKey,
};
use signaling_transport::{Signaling, SignalingConfig};
use tower::ServiceExt as _;

/// Refuses every offer with this code; without a code, never answers one.
struct Full(Option<Code>, Mutex<Vec<HttpReply<HttpAnswer>>>);

impl HttpMedia for Full {
    fn check(&self, _: &RoomId, _: HttpSession, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn offer(&self, _: HttpOffer, reply: HttpReply<HttpAnswer>) {
        match self.0 {
            Some(code) => reply(Err(Refusal::new(code, "there is no room"))),
            None => self.1.lock().unwrap().push(reply),
        }
    }

    fn patch(&self, _: HttpPatch, reply: HttpReply<Patched>) {
        reply(Ok(Patched::Trickled));
    }

    fn reach(&self, _: RoomId, _: PeerId, reply: HttpReply<Reach>) {
        reply(Ok(Reach::default()));
    }

    fn statistics(&self, _: RoomId, reply: HttpReply<Vec<PeerStatistics>>) {
        reply(Ok(Vec::new()));
    }
}

/// The peers that joined, and those that left.
fn comings_and_goings(media: &RecordedMedia) -> [Vec<PeerId>; 2] {
    let (mut joined, mut left) = (Vec::new(), Vec::new());
    for (_, demand) in media.take() {
        match demand {
            MediaDemand::Join { peer, .. } => joined.push(peer),
            MediaDemand::Leave { peer } => left.push(peer),
            _ => {}
        }
    }
    [joined, left]
}

#[tokio::test]
async fn a_full_media_server_says_when_to_come_again_and_keeps_nobody() {
    // As the media plane itself says, as one of its workers says that has no place for the new peer, and as it is with a
    // worker that is stuck.
    for code in [Some(Code::Overloaded), Some(Code::SessionUnknown), None] {
        let media = RecordedMedia::default();
        let mut config = SignalingConfig::new(ServerKey::new([7; 32]));
        let rules = Rules { sfu: true, ..Rules::new(ServerKey::new([7; 32])) };
        config.rooms = Environment { media: Arc::new(media.clone()), ..Environment::with_rules(rules) };
        config.http_media = Some(Arc::new(Full(code, Mutex::default())));
        let router = Signaling::start(config).router();
        for path in ["/whip/stage", "/whep/stage"] {
            let request = Request::post(path).header("content-type", "application/sdp");
            let response = router.clone().oneshot(request.body(Body::from("v=0")).unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            let wait = response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap();
            assert!((1..=3_600).contains(&wait), "{wait} s");
            assert!(!response.headers().contains_key("location"));
            let problem: Value =
                serde_json::from_slice(&to_bytes(response.into_body(), 65_536).await.unwrap()).unwrap();
            assert_eq!((&problem["code"], &problem["status"]), (&"overloaded".into(), &503.into()));
            let [joined, left] = comings_and_goings(&media);
            assert_eq!((joined.len(), &left), (1, &joined), "{path}");
        }
    }
}
