//! Behaviour with a locked, damaged or inconsistent database, and with a wrong clock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::Request;
use http_api::Scope;
use meetings::{Config, Meetings, Rooms, Store, make_key};
use serde_json::{Value, json};
use signaling_core::message::EndReason;
use signaling_core::room::RoomRecord;
use signaling_core::testing::SeededEntropy;
use signaling_core::{RoomId, ServerKey, Timestamp, WallClock, Watch};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tower::ServiceExt as _;

const DAY: u64 = 86_400_000;
const NOON: u64 = 1_795_780_800_000;

/// A clock that is set manually, and trusted or not.
#[derive(Clone, Default)]
struct Clock {
    now: Arc<AtomicU64>,
    is_settled: Arc<AtomicBool>,
    /// How often the ticks were read: once for each check for due work.
    looks: Arc<AtomicU64>,
}

impl Clock {
    /// Waits for this many checks for due work, without any requests.
    async fn looked_at(&self, times: u64) {
        let enough = self.looks.load(Ordering::SeqCst) + times;
        while self.looks.load(Ordering::SeqCst) < enough {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn set(&self, days: u64, is_settled: bool) {
        self.now.store(NOON + days * DAY, Ordering::SeqCst);
        self.is_settled.store(is_settled, Ordering::SeqCst);
    }
}

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn settled(&self) -> Option<Timestamp> {
        self.is_settled.load(Ordering::SeqCst).then(|| self.now())
    }

    fn ticks(&self) -> Timestamp {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Timestamp::from_millis(NOON)
    }
}

/// A server without rooms.
struct Nobody;

#[async_trait]
impl Rooms for Nobody {
    async fn end(&self, _room: RoomId, _reason: EndReason) {}
    async fn arrange(&self, _record: RoomRecord) {}
    async fn is_there(&self, _room: RoomId) -> Option<bool> {
        None
    }
}

#[derive(Clone)]
struct Server {
    router: Router,
    meetings: Meetings,
    clock: Clock,
    key: String,
}

impl Server {
    async fn over(file: &Path) -> Self {
        Self::keeping(file, None).await
    }

    /// Meetings kept for this long after they are over.
    async fn keeping(file: &Path, keep: Option<Duration>) -> Self {
        let clock = Clock::default();
        clock.set(0, true);
        let store = Store::sqlite(file);
        let (key, record) = make_key(vec![Scope::Admin], None, None, clock.now(), &mut SeededEntropy::new(3));
        // A database that cannot be used cannot store a key either.
        let _ = store.add_key(&record).await;
        let meetings = Meetings::new(Config {
            key: ServerKey::new([1; 32]),
            store,
            clock: Arc::new(clock.clone()),
            entropy: Box::new(SeededEntropy::new(7)),
            public_url: None,
            anonymous: true,
            private_webhooks: false,
            server_webhook: None,
            keep,
            mailer: None,
        });
        Self { router: meetings::router(meetings.clone(), &[]), meetings, clock, key }
    }

    async fn ask(&self, method: &str, path: &str, bearer: Option<&str>, body: &Value) -> (u16, Value) {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn admin(&self, method: &str, path: &str) -> (u16, Value) {
        self.ask(method, path, Some(&self.key), &Value::Null).await
    }

    async fn book(&self, title: &str, more: Value) -> Value {
        let (status, meeting) = self.try_to_book(title, more).await;
        assert_eq!(status, 201, "{meeting}");
        meeting
    }

    async fn try_to_book(&self, title: &str, more: Value) -> (u16, Value) {
        let mut wanted = json!({"title": title, "timeZone": "UTC", "durationMinutes": 30});
        for (name, value) in more.as_object().unwrap() {
            wanted[name] = value.clone();
        }
        self.ask("POST", "/api/v1/meetings", None, &wanted).await
    }

    async fn state(&self, meeting: &Value) -> Value {
        let path = format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
        self.admin("GET", &path).await.1["state"].clone()
    }

    async fn until(&self, meeting: &Value, state: &str) {
        for _ in 0..3_000 {
            if self.state(meeting).await == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("waited in vain for {state}");
    }
}

async fn beside(file: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, reason = "the patience with another program's lock is real time")]
async fn while_another_program_holds_the_lock_who_writes_is_told_soon_and_who_reads_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("meetings.db");
    let server = Server::over(&file).await;
    let meeting = server.book("Standup", json!({})).await;
    let mut other = beside(&file).await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let begun = Instant::now();
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let server = server.clone();
        answers.spawn(async move { server.try_to_book("Retro", json!({})).await.0 });
    }
    // Readers do not wait in the queue of writers.
    assert_eq!(server.state(&meeting).await, "open");
    let read_after = begun.elapsed();
    assert_eq!(answers.join_all().await, [503; 20]);
    let answered_after = begun.elapsed();
    // It takes 0.7 s; earlier versions waited five seconds for each writer.
    assert!(
        read_after < Duration::from_secs(3) && answered_after < Duration::from_secs(4),
        "{answered_after:?}"
    );
    assert!(server.meetings.store().trouble().is_some());
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    server.book("Retro", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let rubbish = folder.path().join("rubbish.db");
    std::fs::write(&rubbish, "no database at all, but longer than its head would be".repeat(200)).unwrap();
    let directory = folder.path().join("folder.db");
    std::fs::create_dir(&directory).unwrap();
    let newer = folder.path().join("newer.db");
    Server::over(&newer).await.book("Standup", json!({})).await;
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               VALUES (9999, 'of a later version', 1, x'00', 0)";
    sqlx::raw_sql(sql).execute(&mut beside(&newer).await).await.unwrap();
    for file in [rubbish, directory, newer] {
        let server = Server::over(&file).await;
        let (status, problem) = server.try_to_book("Standup", json!({})).await;
        assert_eq!((status, &problem["code"]), (503, &json!("overloaded")), "{}", file.display());
        assert_eq!(
            server.ask("GET", "/api/v1/invitations/0123456789abcdef", None, &Value::Null).await.0,
            503
        );
        assert!(server.meetings.store().trouble().is_some(), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_cannot_be_read_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("meetings.db");
    let server = Server::over(&file).await;
    let soon = Timestamp::from_millis(NOON + 3_600_000).to_string();
    let mut booked = Vec::new();
    for title in ["one", "rubbish", "no text", "four"] {
        booked.push(server.book(title, json!({"startsAt": soon})).await);
    }
    let id = |at: usize| booked[at]["meeting"].as_str().unwrap().to_owned();
    let mut other = beside(&file).await;
    for (at, document) in [(1, "'{\"id\": 1'"), (2, "CAST(x'7bff' AS TEXT)")] {
        let sql = format!("UPDATE meetings SET document = {document}, due_at = 1 WHERE id = '{}'", id(at));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
    }
    let mut titles = Vec::new();
    let mut broken = Vec::new();
    let mut path = "/api/v1/meetings?limit=1".to_owned();
    loop {
        let (status, page) = server.admin("GET", &path).await;
        assert_eq!(status, 200, "{page}");
        titles.extend(page["meetings"].as_array().unwrap().iter().map(|meeting| meeting["title"].clone()));
        broken.extend(page["broken"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/meetings?limit=1&after={next}");
    }
    // Meetings created in the same millisecond are ordered by their random ids.
    let both = |mut list: Vec<Value>| {
        list.sort_by_key(ToString::to_string);
        list
    };
    assert_eq!(both(titles), [json!("four"), json!("one")]);
    assert_eq!(both(broken), both(vec![json!(id(1)), json!(id(2))]));
    let (status, problem) = server.admin("GET", &format!("/api/v1/meetings/{}", id(1))).await;
    assert_eq!(status, 500);
    assert!(problem["detail"].as_str().unwrap().contains(&id(1)), "{problem}");

    // Due work of the other meetings is done.
    server.meetings.start(Arc::new(Nobody), &Watch::default());
    server.clock.set(3, true);
    server.until(&booked[0], "expired").await;
    server.until(&booked[3], "expired").await;

    let path = format!("/api/v1/meetings/{}", id(1));
    assert_eq!(server.ask("DELETE", &path, None, &Value::Null).await.0, 401);
    assert_eq!(server.admin("DELETE", &path).await.0, 204);
    assert_eq!(server.admin("GET", &path).await.0, 404);
    assert_eq!(server.admin("GET", "/api/v1/meetings").await.1["broken"], json!([id(2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_not_believed_expires_nothing_and_one_that_was_wrong_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::over(&folder.path().join("meetings.db")).await;
    let tomorrow = Timestamp::from_millis(NOON + DAY).to_string();
    let meeting = server.book("Standup", json!({"startsAt": tomorrow})).await;
    let rule = json!({"startsAt": tomorrow, "recurrence": "FREQ=DAILY;COUNT=30"});
    let series = server.book("Series", rule).await;
    server.meetings.start(Arc::new(Nobody), &Watch::default());
    let path = |meeting: &Value| format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap());
    let invitation = format!("/api/v1/invitations/{}", meeting["meeting"].as_str().unwrap());

    server.clock.set(4, false);
    server.clock.looked_at(3).await;
    assert_eq!(server.state(&meeting).await, "open", "reading follows the clock at once");
    assert_eq!(server.ask("GET", &invitation, None, &Value::Null).await.1["state"], "open");
    server.clock.set(0, true);
    assert_eq!(server.state(&meeting).await, "scheduled");

    server.clock.set(4, true);
    server.until(&meeting, "expired").await;
    let moved = server.admin("GET", &path(&series)).await.1["startsAt"].clone();
    assert_ne!(moved, series["startsAt"]);
    server.clock.set(0, false);
    assert_eq!(server.state(&meeting).await, "scheduled", "the clock came back");
    assert_eq!(server.admin("GET", &path(&series)).await.1["startsAt"], series["startsAt"]);
}

#[tokio::test]
async fn what_is_over_is_kept_for_as_long_as_the_operator_says_by_a_clock_that_can_be_believed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("visavis.db");
    let first = Server::keeping(&file, None).await;
    let key = first.key.clone();
    let mut paths = Vec::new();
    for (day, title) in [(0, "old"), (10, "young"), (10, "open")] {
        first.clock.set(day, true);
        let wanted = json!({"title": title, "timeZone": "UTC", "durationMinutes": 30, "startsAt": "2030-01-01T00:00:00Z"});
        let (status, made) = first.ask("POST", "/api/v1/meetings", Some(&key), &wanted).await;
        assert_eq!(status, 201, "{made}");
        let path = format!("/api/v1/meetings/{}", made["meeting"].as_str().unwrap());
        if title != "open" {
            assert_eq!(first.ask("DELETE", &path, Some(&key), &json!({})).await.0, 204);
        }
        paths.push(path);
    }
    for (keep, is_settled, expected) in
        [(None, true, 200), (Some(30), false, 200), (Some(40), true, 200), (Some(30), true, 404)]
    {
        let server = Server::keeping(&file, keep.map(|days| Duration::from_hours(24 * days))).await;
        server.clock.set(31, is_settled);
        server.meetings.start(Arc::new(Nobody), &Watch::default());
        server.clock.looked_at(3).await;
        let statuses = [
            server.ask("GET", &paths[0], Some(&key), &json!({})).await.0,
            server.ask("GET", &paths[1], Some(&key), &json!({})).await.0,
            server.ask("GET", &paths[2], Some(&key), &json!({})).await.0,
        ];
        assert_eq!(statuses, [expected, 200, 200], "{keep:?} {is_settled}");
    }
}
