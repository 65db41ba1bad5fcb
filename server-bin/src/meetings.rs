//! Meetings: their database, their way to the rooms, and the commands of the operator.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use meetings::{Client, Config, Mailer, Meetings, Rooms, Store};
use signaling_core::message::EndReason;
use signaling_core::room::RoomRecord;
use signaling_core::{RoomId, ServerKey, WallClock as _, Watch};
use signaling_transport::net::ClientAddr;
use signaling_transport::{Hub, Signaling, SystemClock, SystemEntropy};

use crate::cli::KeyAsk;
use crate::config::{OnOff, Settings};
use crate::data_dir::DataDir;
use crate::recordings;

/// How long a start is held up by a database that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// The meetings of the configured database, which is connected to when it is first needed: calls go on without it.
pub(crate) fn open(settings: &Settings, data: &DataDir) -> anyhow::Result<Meetings> {
    let store = store(settings, data)?;
    let mailer = match (&settings.smtp, &settings.mail_from) {
        (Some(url), Some(from)) => Some(Mailer::new(&url.0, from).context("look at --smtp and --mail-from")?),
        _ => None,
    };
    tracing::info!(database = store.place(), "meetings are kept");
    Ok(Meetings::new(Config {
        key: ServerKey::new(data.secret("session.key")?),
        store,
        clock: Arc::new(SystemClock::new()),
        entropy: Box::new(SystemEntropy),
        public_url: settings.public_url.as_ref().map(ToString::to_string),
        anonymous: settings.anonymous_rooms == OnOff::On,
        private_webhooks: settings.webhook_allow_private,
        mailer,
    }))
}

fn store(settings: &Settings, data: &DataDir) -> anyhow::Result<Store> {
    match &settings.database_url {
        Some(url) => Store::postgres(&url.0).context("look at --database-url"),
        None => Ok(Store::sqlite(&data.file("visavis.db"))),
    }
}

/// Looks whether the database is there, so that requests need not be the first to; a server without it starts all the same.
pub(crate) async fn look_for_database(meetings: &Meetings) {
    let found = tokio::time::timeout(PATIENCE, meetings.store().prepare()).await;
    let why = match found {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{:#}", anyhow::Error::new(error)),
        Err(_) => "no answer".to_owned(),
    };
    tracing::warn!(error = why, "the database of meetings cannot be used: calls go on without it");
}

/// Follows the rooms from now on.
pub(crate) fn start(meetings: &Meetings, signaling: &Signaling, watch: &Watch) {
    meetings.start(Arc::new(HubRooms(signaling.hub().clone())), watch);
}

/// The HTTP interface, under the same rules about origins as the wire protocol's.
pub(crate) fn router(signaling: &Signaling, meetings: Meetings, has_recordings: bool) -> Router {
    let others = [Some(signaling_transport::OPENAPI), has_recordings.then_some(recordings::OPENAPI)];
    // Each is read by a test of its crate.
    let others: Vec<_> =
        others.into_iter().flatten().filter_map(|text| serde_json::from_str(text).ok()).collect();
    let router = meetings::router(meetings, &others).layer(middleware::from_fn(introduce));
    signaling.guard(router)
}

/// Says who is calling.
async fn introduce(mut request: Request, next: Next) -> axum::response::Response {
    if let Some(client) = request.extensions().get::<ClientAddr>() {
        let client = Client { ip: Some(client.ip), origin: client.origin() };
        request.extensions_mut().insert(client);
    }
    next.run(request).await
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

/// Does what was asked with API keys; what there is to print.
pub(crate) fn keys(settings: &Settings, ask: &KeyAsk) -> anyhow::Result<String> {
    with_store(settings, async |store: Store| match ask {
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

/// Copies the database into a file.
pub(crate) fn backup(settings: &Settings, file: &Path) -> anyhow::Result<String> {
    // Made beforehand, so that what is secret in it is its owner's alone from the first moment.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    drop(made.with_context(|| format!("cannot make the file {}", file.display()))?);
    let copied = with_store(settings, async |store: Store| {
        store.backup(file).await?;
        Ok(String::new())
    });
    if copied.is_err() {
        // Nobody is to take for a backup what is none. That it could not be made is the error to tell of.
        let _ = std::fs::remove_file(file);
    }
    copied
}

fn with_store<T>(
    settings: &Settings,
    run: impl AsyncFnOnce(Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let data = DataDir::open(&settings.data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = store(settings, &data)?;
        store.prepare().await?;
        run(store).await
    })
}
