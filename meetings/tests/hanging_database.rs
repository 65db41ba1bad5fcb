//! A database server that takes connections and says nothing.
#![allow(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use meetings::{Config, Meetings, Store};
use signaling_core::testing::SeededEntropy;
use signaling_core::{ServerKey, Timestamp, WallClock};
use tower::ServiceExt as _;

struct Noon;

impl WallClock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_780_800_000)
    }
}

#[tokio::test]
async fn requests_about_meetings_are_answered_within_a_second() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/nothing", silent.local_addr().unwrap());
    let meetings = Meetings::new(Config {
        key: ServerKey::new([1; 32]),
        store: Store::postgres(&url).unwrap(),
        clock: Arc::new(Noon),
        entropy: Box::new(SeededEntropy::new(7)),
        public_url: None,
        anonymous: true,
        private_webhooks: false,
        mailer: None,
    });
    let router = meetings::router(meetings, &[]);
    let booking = r#"{"title": "Standup", "timeZone": "UTC", "durationMinutes": 30}"#;
    for (method, path, body) in [
        ("GET", "/api/v1/meetings", ""),
        ("GET", "/api/v1/invitations/0123456789abcdef", ""),
        ("POST", "/api/v1/meetings", booking),
    ] {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = if path == "/api/v1/meetings" && method == "GET" {
            request.header("authorization", "Bearer vsk_AAAA")
        } else {
            request
        };
        let answer = router.clone().oneshot(request.body(Body::from(body)).unwrap());
        // Both are timers of one task: which is first does not depend on how busy the machine is.
        let answer = tokio::select! {
            biased;
            answer = pin!(answer) => answer.unwrap(),
            () = tokio::time::sleep(Duration::from_secs(1)) => panic!("{method} {path} is not answered"),
        };
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{method} {path}");
        assert!(answer.headers().contains_key("retry-after"));
    }
}
