//! A server started on the tables of every earlier version, with that version's data, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tests::Visavis;
use tests::api::Api;
use tests::client::Ws;
use tests::postgres::Postgres;

/// The secret of the server that created these meetings.
const SESSION_KEY: &[u8; 32] =
    b"\x2a\xa4\xe0\xe2\x07\x42\xe6\xcc\x0f\x8d\xac\x9e\x93\x8e\x0f\x0e\x16\x2e\x40\x4c\x2d\x43\x59\xc6\x54\x38\xf5\x44\x98\x44\xef\x7e";
const KEY: &str = "vsk_ZcpkXjNPn_d7IyoLmLR_FO7M995UgVaeXQwdPBTlLn8";
const REVOKED: &str = "vsk_esfi7aeMzxYiuDmI_Ja88RemT9NzwsQv0dts7j5tawY";
const SERIES: &str = "/api/v1/meetings/dmcsbks78vryd8nc";
const CALLED_OFF: &str = "/api/v1/meetings/rjznjj3qcxy7phsq";
/// The request whose reply is stored.
const ONCE: &str = r#"{"title": "Once", "timeZone": "Europe/Berlin", "durationMinutes": 30, "startsAt": "2027-05-04T12:00:00Z"}"#;

/// The migrations for one kind of database.
fn migrations(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../meetings/migrations").join(kind)
}

/// Their versions before the newest.
fn earlier() -> std::ops::Range<i64> {
    let count = |kind| i64::try_from(fs::read_dir(migrations(kind)).unwrap().count()).unwrap();
    assert_eq!(count("sqlite"), count("postgres"));
    1..count("sqlite")
}

/// The data that a version stored in its tables.
fn rows(version: i64) -> AssertSqlSafe<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/schemas/{version:04}.sql"));
    let missing = |error| panic!("{}: {error}; what this version kept is missing", file.display());
    AssertSqlSafe(fs::read_to_string(&file).unwrap_or_else(missing))
}

/// Migrates an empty database to a version; inserts the rows of each version while it is the newest.
macro_rules! grow {
    ($connection:expr, $kind:expr, $to:expr) => {
        let migrator = Migrator::new(migrations($kind)).await.unwrap();
        for version in 1..=$to {
            migrator.run_to(version, &mut $connection).await.unwrap();
            sqlx::raw_sql(rows(version)).execute(&mut $connection).await.unwrap();
        }
    };
}

fn folder() -> Arc<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("visavis-data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("session.key"), SESSION_KEY).unwrap();
    Arc::new(folder)
}

fn wait_for(what: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
}

/// All earlier data is present and usable.
fn serves(folder: Arc<TempDir>, database: &[&str]) {
    let server = Visavis::start_in(folder, database);
    let api = Api::with_bearer(server.addr, KEY);
    assert_eq!(Api::with_bearer(server.addr, REVOKED).get(SERIES).status, 401);
    let page = api.get("/api/v1/meetings").json();
    let titles: Vec<&Value> =
        page["meetings"].as_array().unwrap().iter().map(|meeting| &meeting["title"]).collect();
    assert_eq!(titles, ["Planung für März; Teil 1", "Once", "Called off"]);
    assert_eq!(api.get(CALLED_OFF).json()["state"], "cancelled");
    let off = api.get("/api/v1/meetings?state=cancelled").json();
    assert_eq!(
        (off["meetings"].as_array().unwrap().len(), &off["meetings"][0]["title"]),
        (1, &json!("Called off"))
    );
    let spring = api.get("/api/v1/meetings?state=scheduled&from=2087-05-01T00:00:00Z").json();
    assert_eq!(
        (spring["meetings"].as_array().unwrap().len(), &spring["meetings"][0]["title"]),
        (1, &json!("Once"))
    );

    let again = api.ask("POST", "/api/v1/meetings", &[("idempotency-key", "once")], Some(ONCE));
    assert_eq!((again.status, &again.json()["meeting"]), (201, &json!("ggfz63p1j3bmw7qc")));
    let deliveries = api.get(&format!("{SERIES}/deliveries")).json();
    assert_eq!(deliveries["deliveries"][0]["type"], "meeting.created");

    // The series: its booked settings apply, and it can be changed using its earlier version.
    let series = api.get(SERIES);
    let host_url = series.json()["hostUrl"].as_str().unwrap().to_owned();
    assert_eq!(series.header("etag"), "\"1\"");
    let series = series.json();
    assert_eq!((&series["capacity"], &series["hasPassword"]), (&json!(8), &json!(true)));
    let mut guest = Ws::connect(server.addr);
    guest.send(&json!({"type": "join", "room": "3cp-xyc-yfm", "name": "Guest", "password": "sesame"}));
    let early = guest.next();
    assert_eq!((&early["code"], &early["startsAt"]), (&json!("not-started"), &json!("2087-03-21T09:00:00Z")));
    let mut host = Ws::connect(server.addr);
    let token = host_url.split_once("#host=").unwrap().1;
    host.send(&json!({"type": "join", "room": "3cp-xyc-yfm", "name": "Host", "token": token}));
    assert_eq!(host.next()["room"]["id"], "bs7v8cg5yhv3g4vyagpv");
    let change = json!({"title": "Retro"}).to_string();
    let changed = api.ask("PATCH", SERIES, &[("if-match", "*")], Some(&change));
    assert_eq!((changed.status, &changed.json()["sequence"]), (200, &json!(1)), "{}", changed.body);
    let calendar = api.get(&format!("{SERIES}/calendar.ics")).body;
    assert!(
        calendar.contains("UID:dmcsbks78vryd8nc@visavis\r\n") && calendar.contains("COUNT=3"),
        "{calendar}"
    );
    api.book(&json!({"title": "New"}));
}

#[test]
fn sqlite() {
    for version in earlier() {
        let folder = folder();
        let file = folder.path().join("visavis-data/visavis.db");
        wait_for(async {
            let url = format!("sqlite://{}?mode=rwc", file.display());
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            grow!(connection, "sqlite", version);
            connection.close().await.unwrap();
        });
        serves(folder, &[]);
    }
}

#[test]
fn postgresql() {
    for version in earlier() {
        let postgres = Postgres::start();
        wait_for(async {
            let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
            grow!(connection, "postgres", version);
            connection.close().await.unwrap();
        });
        serves(folder(), &["--database-url", &postgres.url()]);
    }
}
