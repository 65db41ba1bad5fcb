//! The routes, used as an application uses them: booking, reading, changing, webhooks, invitations.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request};
use http_api::Scope;
use meetings::{Config, Meetings, Store, make_key};
use serde_json::{Value, json};
use signaling_core::testing::SeededEntropy;
use signaling_core::{ServerKey, Timestamp, WallClock};
use tower::ServiceExt as _;

const NOON: Timestamp = Timestamp::from_millis(1_795_780_800_000);

struct Clock;

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        NOON
    }
}

/// The routes with a separate database.
struct Interface {
    router: Router,
    meetings: Meetings,
    seed: u64,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, &self.json()["code"]), (status, &json!(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
    }
}

impl Interface {
    fn new(anonymous: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let meetings = Meetings::new(Config {
            key: ServerKey::new([1; 32]),
            store: Store::sqlite(&folder.path().join("meetings.db")),
            clock: Arc::new(Clock),
            entropy: Box::new(SeededEntropy::new(7)),
            public_url: Some("https://calls.example".to_owned()),
            anonymous,
            private_webhooks: true,
            server_webhook: None,
            keep: None,
            mailer: None,
        });
        Self { router: meetings::router(meetings.clone(), &[]), meetings, seed: 100, _folder: folder }
    }

    /// Creates a key with these scopes and this customer.
    async fn key(&mut self, scopes: &[Scope], customer: Option<&str>) -> String {
        self.seed += 1;
        let customer = customer.map(str::to_owned);
        let entropy = &mut SeededEntropy::new(self.seed);
        let (key, record) = make_key(scopes.to_vec(), customer, None, NOON, entropy);
        self.meetings.store().add_key(&record).await.unwrap();
        key
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.into()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn by(&self, key: &str, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, &[("authorization", &format!("Bearer {key}"))], body).await
    }

    async fn book(&self, key: &str, more: &Value) -> Answer {
        self.by(key, "POST", "/api/v1/meetings", &wanted(more)).await
    }
}

fn wanted(more: &Value) -> Value {
    let mut wanted = json!({"title": "Standup", "timeZone": "UTC", "durationMinutes": 30});
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    wanted
}

fn path(meeting: &Value) -> String {
    format!("/api/v1/meetings/{}", meeting["meeting"].as_str().unwrap())
}

fn host_token(meeting: &Value) -> &str {
    meeting["hostUrl"].as_str().unwrap().split_once("#host=").unwrap().1
}

#[tokio::test]
async fn what_is_booked_is_answered_with_its_place_its_version_and_its_links() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], Some("school")).await;
    let booked = interface.book(&key, &json!({})).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let meeting = booked.json();
    assert_eq!(booked.header("location"), path(&meeting));
    assert_eq!((booked.header("etag"), booked.header("cache-control")), ("\"1\"", "no-store"));
    let code = meeting["code"].as_str().unwrap();
    assert_eq!(meeting["joinUrl"], format!("https://calls.example/r/{code}"));
    assert_eq!(meeting["state"], "open");
    let shown = interface.by(&key, "GET", &path(&meeting), &Value::Null).await;
    assert_eq!(shown.json()["hostUrl"], meeting["hostUrl"]);
}

#[tokio::test]
async fn the_same_booking_again_is_the_same_meeting_and_another_under_its_key_is_refused() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], None).await;
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", &*bearer), ("idempotency-key", "a-1")];
    let book = async |title: &str| {
        interface.ask("POST", "/api/v1/meetings", &headers, &wanted(&json!({"title": title}))).await
    };
    let first = book("Standup").await;
    let again = book("Standup").await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    assert_eq!(again.header("etag"), first.header("etag"));
    book("Retro").await.refused(422, "idempotency-mismatch");
    let listed = interface.by(&key, "GET", "/api/v1/meetings", &Value::Null).await.json();
    assert_eq!(listed["meetings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_meeting_is_there_for_its_owner_its_host_and_administrators_alone() {
    let mut interface = Interface::new(true);
    let own = interface.key(&[Scope::MeetingsWrite], Some("school")).await;
    let colleague = interface.key(&[Scope::MeetingsRead], Some("school")).await;
    let other = interface.key(&[Scope::MeetingsWrite], Some("other")).await;
    let reader = interface.key(&[Scope::MeetingsRead], None).await;
    let admin = interface.key(&[Scope::Admin], None).await;
    let meeting = interface.book(&own, &json!({})).await.json();
    let second = interface.book(&own, &json!({"title": "Retro"})).await.json();
    let place = path(&meeting);
    for (bearer, expected) in [
        (&*own, 200),
        (&colleague, 200),
        (&reader, 200),
        (&admin, 200),
        (&other, 404),
        (host_token(&meeting), 200),
        (host_token(&second), 404),
        ("vsk_unknown", 401),
        ("neither", 401),
    ] {
        let shown = interface.by(bearer, "GET", &place, &Value::Null).await;
        assert_eq!(shown.status, expected, "{bearer}");
        if expected == 200 {
            // A read-only key does not get the host link.
            let is_organiser = shown.json().get("hostUrl").is_some();
            assert_eq!(is_organiser, ![&*colleague, &*reader].contains(&bearer), "{bearer}");
        }
    }
    interface.ask("GET", &place, &[], &Value::Null).await.refused(401, "unauthorized");
    interface
        .ask("GET", &place, &[("authorization", "Basic x")], &Value::Null)
        .await
        .refused(401, "unauthorized");
    interface.by(&colleague, "DELETE", &place, &Value::Null).await.refused(403, "forbidden");
    let listed = async |key: &str| {
        let page = interface.by(key, "GET", "/api/v1/meetings", &Value::Null).await.json();
        page["meetings"].as_array().unwrap().len()
    };
    assert_eq!([listed(&own).await, listed(&other).await, listed(&reader).await], [2, 0, 2]);
    interface
        .by(host_token(&meeting), "GET", "/api/v1/meetings", &Value::Null)
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn only_keys_book_where_nobody_else_may_and_only_they_invite() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], None).await;
    let book = json!({"title": "Standup", "timeZone": "UTC", "durationMinutes": 30});
    interface.ask("POST", "/api/v1/meetings", &[], &book).await.refused(401, "unauthorized");
    let meeting = interface.book(&key, &json!({})).await.json();
    interface.by(host_token(&meeting), "POST", "/api/v1/meetings", &book).await.refused(403, "forbidden");
    let open = Interface::new(true);
    assert_eq!(open.ask("POST", "/api/v1/meetings", &[], &book).await.status, 201);
    let attendees = json!({"attendees": [{"name": "Ada", "email": "ada@example.net"}]});
    open.ask("POST", "/api/v1/meetings", &[], &wanted(&attendees)).await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_change_names_the_version_that_it_is_for() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], None).await;
    let place = path(&interface.book(&key, &json!({})).await.json());
    let bearer = format!("Bearer {key}");
    let change = async |tag: Option<&str>, title: &str| {
        let mut headers = vec![("authorization", &*bearer)];
        headers.extend(tag.map(|tag| ("if-match", tag)));
        interface.ask("PATCH", &place, &headers, &json!({"title": title})).await
    };
    change(None, "Retro").await.refused(428, "bad-request");
    change(Some("\"7\""), "Retro").await.refused(412, "invalid-state");
    let changed = change(Some("W/\"1\""), "Retro").await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""));
    assert_eq!(changed.json()["title"], "Retro");
    change(Some("\"1\""), "Late").await.refused(412, "invalid-state");
    let headers = [("authorization", &*bearer), ("if-none-match", "\"1\", W/\"2\"")];
    let known = interface.ask("GET", &place, &headers, &Value::Null).await;
    assert_eq!((known.status, &*known.body, known.header("etag")), (304, "", "\"2\""));
}

#[tokio::test]
async fn a_meeting_that_is_called_off_is_erased_only_on_request() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], None).await;
    let place = path(&interface.book(&key, &json!({})).await.json());
    assert_eq!(interface.by(&key, "DELETE", &place, &Value::Null).await.status, 204);
    let shown = interface.by(&key, "GET", &place, &Value::Null).await;
    assert_eq!(shown.json()["state"], "cancelled");
    interface.by(&key, "DELETE", &place, &Value::Null).await.refused(409, "invalid-state");
    interface.by(&key, "POST", &format!("{place}/end"), &Value::Null).await.refused(409, "invalid-state");
    let erased = interface.by(&key, "DELETE", &format!("{place}?erase=true"), &Value::Null).await;
    assert_eq!(erased.status, 204);
    interface.by(&key, "GET", &place, &Value::Null).await.refused(404, "not-found");
}

#[tokio::test]
async fn pages_follow_one_another_and_filters_choose() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], None).await;
    let mut all = Vec::new();
    for hour in 1..=3 {
        let starts_at = Timestamp::from_millis(NOON.as_millis() + hour * 3_600_000).to_string();
        let booked = interface.book(&key, &json!({"startsAt": starts_at})).await.json();
        all.push((booked["meeting"].clone(), starts_at));
    }
    let list = async |query: &str| {
        let page = interface.by(&key, "GET", &format!("/api/v1/meetings{query}"), &Value::Null).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        let meetings = page["meetings"].as_array().unwrap();
        let ids: Vec<Value> = meetings.iter().map(|meeting| meeting["meeting"].clone()).collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    let (first, next) = list("?limit=2").await;
    let (rest, end) = list(&format!("?limit=2&after={}", next.unwrap())).await;
    assert_eq!((first.len(), rest.len(), end), (2, 1, None));
    assert!(rest.iter().all(|id| !first.contains(id)));
    let (later, _) = list(&format!("?from={}", all[1].1)).await;
    assert_eq!(later.len(), 2);
    let (earlier, _) = list(&format!("?state=scheduled&to={}", all[1].1)).await;
    assert_eq!(earlier, [all[0].0.clone()]);
    assert_eq!(list("?state=open").await.0, Vec::<Value>::new());
    for wrong in ["?limit=0", "?limit=101", "?after=x", "?from=tomorrow", "?color=red"] {
        let page = interface.by(&key, "GET", &format!("/api/v1/meetings{wrong}"), &Value::Null).await;
        page.refused(400, "bad-request");
    }
}

#[tokio::test]
async fn what_webhooks_are_told_is_listed_and_told_again_and_their_secret_is_exchanged() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], None).await;
    let plain = path(&interface.book(&key, &json!({})).await.json());
    let meeting = interface.book(&key, &json!({"webhookUrl": "http://127.0.0.1:9/hook"})).await.json();
    let place = path(&meeting);
    let secret = meeting["webhookSecret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let listed = interface.by(&key, "GET", &format!("{place}/deliveries"), &Value::Null).await.json();
    let delivery = &listed["deliveries"][0];
    assert_eq!((&delivery["type"], &delivery["attempts"]), (&json!("meeting.created"), &json!(0)));
    let replay = |id: &str| format!("{place}/deliveries/{id}/replay");
    let own = replay(delivery["delivery"].as_str().unwrap());
    assert_eq!(interface.by(&key, "POST", &own, &Value::Null).await.status, 202);
    for unknown in ["msg_0", "no%00id"] {
        interface.by(&key, "POST", &replay(unknown), &Value::Null).await.refused(404, "not-found");
    }
    let rotated = interface.by(&key, "POST", &format!("{place}/webhook-secret"), &Value::Null).await;
    assert_ne!(rotated.json()["webhookSecret"], meeting["webhookSecret"]);
    let none = interface.by(&key, "POST", &format!("{plain}/webhook-secret"), &Value::Null).await;
    none.refused(409, "invalid-state");
}

#[tokio::test]
async fn who_has_an_invitations_id_sees_its_page_its_picture_and_its_calendar_file() {
    let mut interface = Interface::new(false);
    let key = interface.key(&[Scope::MeetingsWrite], None).await;
    let starts_at = Timestamp::from_millis(NOON.as_millis() + 3_600_000).to_string();
    let attendees = json!([{"name": "Ada", "email": "ada@example.net"}]);
    let meeting = interface.book(&key, &json!({"startsAt": starts_at, "attendees": attendees})).await.json();
    let own = &meeting["invitations"][0];
    let id = own["joinUrl"].as_str().unwrap().rsplit('/').next().unwrap();
    assert_ne!(meeting["meeting"], id);
    let invitation =
        interface.ask("GET", &format!("/api/v1/invitations/{id}"), &[], &Value::Null).await.json();
    assert_eq!((&invitation["code"], &invitation["title"]), (&own["code"], &json!("Standup")));
    let picture = interface.ask("GET", &format!("/api/v1/invitations/{id}/qr.svg"), &[], &Value::Null).await;
    assert_eq!(picture.header("content-type"), "image/svg+xml");
    assert!(picture.body.contains("<svg"));
    let file = interface.ask("GET", &format!("/api/v1/meetings/{id}/calendar.ics"), &[], &Value::Null).await;
    assert_eq!(file.header("content-type"), "text/calendar; charset=utf-8");
    assert!(file.body.contains(&format!("https://calls.example/m/{id}")), "{}", file.body);
    let file = interface.by(&key, "GET", &format!("{}/calendar.ics", path(&meeting)), &Value::Null).await;
    assert!(file.body.starts_with("BEGIN:VCALENDAR"), "{}", file.body);
    for unknown in
        ["/api/v1/invitations/0123456789abcdef", "/api/v1/invitations/x", "/api/v1/meetings/x/calendar.ics"]
    {
        interface.ask("GET", unknown, &[], &Value::Null).await.refused(404, "not-found");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_a_problem() {
    let interface = Interface::new(true);
    let refused = interface.ask("PUT", "/api/v1/meetings", &[], &json!({})).await;
    refused.refused(405, "bad-request");
    assert!(refused.header("allow").contains("POST"), "{refused:?}");
}
