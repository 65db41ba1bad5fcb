//! Meetings: their database, their connection to the rooms, and the operator's commands.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meetings::{Config, Mailer, Meetings, Rooms, ServerWebhook, Store, StoreError};
use signaling_core::message::EndReason;
use signaling_core::room::RoomRecord;
use signaling_core::{RoomId, ServerKey, SystemEntropy, WallClock as _, Watch};
use signaling_transport::{Hub, Signaling, SystemClock};

use crate::cli::KeyAsk;
use crate::config::{OnOff, Settings};
use crate::data_dir::DataDir;
use crate::recordings;

/// The database file in the data folder.
pub(crate) const DATABASE: &str = "visavis.db";
/// Time limit for an answer of the database.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long startup waits for a database server that is not up yet, and the interval between attempts.
const START: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);

/// The meetings of the configured database, which is connected to on first use: calls work without it.
pub(crate) fn open(settings: &Settings, data: &DataDir, key: ServerKey) -> anyhow::Result<Meetings> {
    let store = store(settings, data)?;
    let mailer = match (&settings.smtp, &settings.mail_from) {
        (Some(url), Some(from)) => Some(Mailer::new(&url.0, from).context("look at --smtp and --mail-from")?),
        _ => None,
    };
    let server_webhook = match (&settings.webhook_url, &settings.webhook_secret) {
        (Some(url), Some(secret)) => {
            let receiver = ServerWebhook::new(url.clone(), secret.0.clone());
            Some(
                receiver
                    .map_err(|refusal| anyhow::anyhow!(refusal.message))
                    .context("look at --webhook-url and --webhook-secret")?,
            )
        }
        _ => None,
    };
    tracing::info!(database = store.place(), "meetings are kept");
    Ok(Meetings::new(Config {
        key,
        store,
        clock: Arc::new(SystemClock::new()),
        entropy: Box::new(SystemEntropy),
        public_url: settings.public_url.as_ref().map(ToString::to_string),
        anonymous: settings.anonymous_rooms == OnOff::On,
        keep: Some(settings.meeting_keep_days.get())
            .filter(|days| *days > 0)
            .map(|days| Duration::from_hours(24 * u64::from(days))),
        private_webhooks: settings.webhook_allow_private,
        server_webhook,
        mailer,
    }))
}

fn store(settings: &Settings, data: &DataDir) -> anyhow::Result<Store> {
    match &settings.database_url {
        Some(url) => Store::postgres(&url.0, &server(data)?).context("look at --database-url"),
        None => Ok(Store::sqlite(&data.file(DATABASE))),
    }
}

/// The database, for a look at whether it answers.
pub(crate) fn store_to_look_at(settings: &Settings, data: &DataDir) -> anyhow::Result<Store> {
    match &settings.database_url {
        Some(url) => Store::postgres(&url.0, "doctor").context("look at --database-url"),
        None => Ok(Store::sqlite(&data.file(DATABASE))),
    }
}

/// The name of this server among those that use the same database.
fn server(data: &DataDir) -> anyhow::Result<String> {
    Ok(STANDARD.encode(data.secret("server.id")?))
}

/// Checks the database before its first use. Startup waits for a database server that is not up, and then fails. An
/// unusable file does not prevent the start: calls work without it.
pub(crate) async fn look_for_database(settings: &Settings, meetings: &Meetings) -> anyhow::Result<()> {
    let begun = clock::now();
    let mut is_told = false;
    loop {
        let found = tokio::time::timeout(PATIENCE, meetings.store().prepare()).await;
        let (why, is_away) = match found {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => {
                let is_away = match &error {
                    StoreError::Unreachable(_) => true,
                    StoreError::Unprepared(error) => matches!(**error, StoreError::Unreachable(_)),
                    _ => false,
                };
                (format!("{:#}", anyhow::Error::new(error)), is_away)
            }
            Err(_) => ("no answer".to_owned(), true),
        };
        if settings.database_url.is_none() {
            tracing::warn!(error = why, "the database of meetings cannot be used: calls go on without it");
            return Ok(());
        }
        if !is_away || clock::now().saturating_duration_since(begun) >= START {
            anyhow::bail!("the database of meetings cannot be used: {why}; look at --database-url");
        }
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(
                error = why,
                seconds = START.as_secs(),
                "the database of meetings is not up: waiting for it"
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Reports the consequences of a new session key, if the old one has sealed anything.
pub(crate) async fn tell_of_new_key(meetings: &Meetings, data: &DataDir) {
    let has_meetings = matches!(meetings.store().has_meetings().await, Ok(true));
    if has_meetings || data.has("rooms.jsonl") {
        tracing::warn!(
            path = %data.file("session.key").display(),
            "the key of sessions was missing and is made anew: host links of meetings and sessions from before do not \
             open any more; restore the file from a backup and restart to have them back"
        );
    }
}

/// Starts following the rooms.
pub(crate) fn start(meetings: &Meetings, signaling: &Signaling, watch: &Watch) {
    meetings.start(Arc::new(HubRooms(signaling.hub().clone())), watch);
}

/// The HTTP interface, under the same origin rules as the wire protocol.
pub(crate) fn router(signaling: &Signaling, meetings: Meetings, has_recordings: bool) -> Router {
    let others = [Some(signaling_transport::OPENAPI), has_recordings.then_some(recordings::OPENAPI)];
    // Each is parsed by a test of its crate.
    let others: Vec<_> =
        others.into_iter().flatten().filter_map(|text| serde_json::from_str(text).ok()).collect();
    signaling.guard(meetings::router(meetings, &others))
}

struct HubRooms(Hub);

#[async_trait]
impl Rooms for HubRooms {
    async fn end(&self, room: RoomId, reason: EndReason) {
        // A hub that has stopped has no rooms either.
        let _ = self.0.end_room(room, reason).await;
    }

    async fn arrange(&self, record: RoomRecord) {
        let _ = self.0.arrange(record).await;
    }

    async fn is_there(&self, room: RoomId) -> Option<bool> {
        self.0.summary(room).await.ok().map(|summary| summary.is_some())
    }
}

/// Runs a command about API keys; returns its output.
pub(crate) fn keys(settings: &Settings, ask: &KeyAsk, init: bool) -> anyhow::Result<String> {
    with_store(settings, init, async |store: Store| match ask {
        KeyAsk::Create { scopes, customer, note } => {
            let now = SystemClock::new().now();
            let (key, record) =
                meetings::make_key(scopes.clone(), customer.clone(), note.clone(), now, &mut SystemEntropy);
            store.add_key(&record).await?;
            Ok(format!("{key}\n"))
        }
        KeyAsk::List => {
            let mut text = String::new();
            for key in store.keys().await? {
                let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
                let state = key.revoked_at.map_or_else(String::new, |at| format!("  revoked {at}"));
                let customer = key.customer.map_or_else(String::new, |name| format!("  customer {name}"));
                let note = key.note.map_or_else(String::new, |note| format!("  {note}"));
                let scopes = scopes.join(",");
                writeln!(text, "{}  {scopes}  made {}{customer}{note}{state}", key.id, key.created_at)?;
            }
            Ok(text)
        }
        KeyAsk::Revoke(id) => {
            anyhow::ensure!(
                store.revoke_key(id, SystemClock::new().now()).await?,
                "there is no key {id} in force"
            );
            Ok(String::new())
        }
    })
}

/// Copies the database in a data folder into a new file.
pub(crate) fn copy_database(data: &DataDir, to: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(meetings::copy_database(&data.file(DATABASE), to))?;
    Ok(())
}

/// Opens the database of a server that has run here or, with `init`, of a future one.
fn with_store<T>(
    settings: &Settings,
    init: bool,
    run: impl AsyncFnOnce(Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let data = match settings.database_url {
        // The data folder is not involved.
        Some(_) => DataDir::unmade(&settings.data_dir),
        None if init => DataDir::open(&settings.data_dir)?,
        None => {
            let data = DataDir::existing(&settings.data_dir)?;
            let path = data.file(DATABASE);
            anyhow::ensure!(path.exists(), "there is no {}: no server has run here", path.display());
            data
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = store(settings, &data)?;
        store.prepare().await?;
        run(store).await
    })
}
