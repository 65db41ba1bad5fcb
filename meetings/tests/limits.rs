//! Limits of a request: the time of a database that accepts connections but does not answer, and the share of one
//! sender.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::net::{IpAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_api::ClientAddr;
use meetings::{Config, Meetings, Store};
use signaling_core::testing::SeededEntropy;
use signaling_core::{ServerKey, Timestamp, WallClock};
use tower::ServiceExt as _;

/// A clock that stands still unless it is advanced.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn at_noon() -> Self {
        Self(Arc::new(AtomicU64::new(1_795_780_800_000)))
    }

    fn pass(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn router(store: Store, clock: &Clock) -> Router {
    let meetings = Meetings::new(Config {
        key: ServerKey::new([1; 32]),
        store,
        clock: Arc::new(clock.clone()),
        entropy: Box::new(SeededEntropy::new(7)),
        public_url: None,
        anonymous: true,
        private_webhooks: false,
        server_webhook: None,
        keep: None,
        mailer: None,
    });
    meetings::router(meetings, &[])
}

fn request(method: &str, path: &str, bearer: Option<&str>, body: &'static str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = match bearer {
        Some(bearer) => request.header("authorization", format!("Bearer {bearer}")),
        None => request,
    };
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn while_the_database_hangs_requests_are_answered_within_a_second() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/nothing", silent.local_addr().unwrap());
    let router = router(Store::postgres(&url, "one").unwrap(), &Clock::at_noon());
    let booking = r#"{"title": "Standup", "timeZone": "UTC", "durationMinutes": 30}"#;
    for asked in [
        request("GET", "/api/v1/meetings", Some("vsk_AAAA"), ""),
        request("GET", "/api/v1/invitations/0123456789abcdef", None, ""),
        request("POST", "/api/v1/meetings", None, booking),
    ] {
        let what = format!("{} {}", asked.method(), asked.uri());
        let answer = router.clone().oneshot(asked);
        // Both are timers of one task, so their order does not depend on the load of the machine.
        let answer = tokio::select! {
            biased;
            answer = pin!(answer) => answer.unwrap(),
            () = tokio::time::sleep(Duration::from_secs(1)) => panic!("{what} is not answered"),
        };
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{what}");
        assert!(answer.headers().contains_key("retry-after"));
    }
}

#[tokio::test]
async fn who_asks_too_much_waits_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::at_noon();
    let router = router(Store::sqlite(&folder.path().join("meetings.db")), &clock);
    let ask = async |ip: &str| {
        let mut asked = request(
            "POST",
            "/api/v1/meetings",
            None,
            r#"{"title": "", "timeZone": "", "durationMinutes": 0}"#,
        );
        let ip: IpAddr = ip.parse().unwrap();
        asked.extensions_mut().insert(ClientAddr {
            ip,
            peer: (ip, 1).into(),
            local: None,
            secure: false,
            host: None,
        });
        let answer = router.clone().oneshot(asked).await.unwrap();
        let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        (answer.status().as_u16(), wait)
    };
    for _ in 0..200 {
        assert_eq!(ask("2001:db8::1").await.0, 400);
    }
    let (status, wait) = ask("2001:db8::1").await;
    assert_eq!(status, 429);
    let wait: u64 = wait.unwrap().parse().unwrap();
    assert_eq!(ask("2001:db8::ffff:2").await.0, 429, "another address of the same network");
    assert_eq!(ask("2001:db8:0:1::1").await.0, 400);
    assert_eq!(ask("192.0.2.1").await.0, 400);
    // As long as configured.
    clock.pass(Duration::from_secs(wait));
    assert_eq!(ask("2001:db8::1").await.0, 400);
    assert_eq!(ask("2001:db8::1").await.0, 429);
}
