//! The signaling service, created from the settings.

use std::sync::Arc;

use meetings::Meetings;
use sfu::Handle;
use signaling_core::{Environment, RecordScope, Rules, Watch};
use signaling_transport::net::Certificates;
use signaling_transport::{JoinTokens, Signaling, SignalingConfig, Transports};

use crate::config::{AllowedOrigin, OnOff, Settings, Transport};
use crate::ice_servers::Servers;
use crate::otlp::Traces;
use crate::recordings::{self, Recordings};
use crate::room_log::{self, ChatFolder};
use crate::room_store::RoomJournal;
use crate::session_key::SessionKey;

/// The components that the service uses.
pub(crate) struct Parts<'a> {
    pub(crate) servers: Servers,
    pub(crate) media: Option<Handle>,
    pub(crate) recordings: Option<&'a Recordings>,
    pub(crate) meetings: &'a Meetings,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) watch: &'a Watch,
    pub(crate) traces: Option<Arc<Traces>>,
}

/// Starts the service on the current runtime.
pub(crate) fn start(
    settings: &Settings,
    key: &SessionKey,
    journal: RoomJournal,
    chat: Option<ChatFolder>,
    parts: Parts<'_>,
) -> Signaling {
    let Parts { servers, media, recordings, meetings, certificates, watch, traces } = parts;
    let minter = Arc::new(key.minter());
    let on = |transport| settings.transports.iter().any(|listed| listed == transport);

    let records = media.is_some() && recordings.is_some();
    let rules = Rules {
        sfu: media.is_some(),
        recorder: records,
        record: if records { recordings::scope(settings) } else { RecordScope::Nobody },
        ..Rules::new(key.server_key())
    };
    let mut rooms = Environment::with_rules(rules);
    let mut config = SignalingConfig::new(rooms.rules.key.clone());
    config.transports = Transports {
        websocket: on(Transport::WebSocket),
        sse: on(Transport::Sse),
        socketio: on(Transport::SocketIo),
    };
    rooms.store = Arc::new(journal);
    if let Some(chat) = chat {
        let folder = chat.clone();
        tokio::spawn(async move {
            tokio::time::sleep(room_log::RETURN).await;
            folder.sweep();
        });
        rooms.log = Arc::new(chat.log());
    }
    config.watch = watch.clone();
    if let Some(traces) = traces {
        config.on_join = Arc::new(move |seat, arrived| traces.joined(seat, arrived));
    }
    rooms.ice = Arc::new(servers);
    if let Some(media) = &media {
        config.http_media = Some(Arc::new(media.clone()));
    }
    config.recording_consent = settings.recording_consent;
    match (media, recordings) {
        (Some(media), Some(recordings)) => rooms.media = Arc::new(recordings.plane(media)),
        (Some(media), None) => rooms.media = Arc::new(media),
        (None, _) => {}
    }
    let keys: Vec<_> = settings.auth_key.iter().map(|key| key.0.clone()).collect();
    let tokens = JoinTokens::new(keys, settings.anonymous_rooms == OnOff::On);
    config.authenticator = Arc::new(tokens.with_minter(Arc::clone(&minter)));
    config.minter = Some(minter);
    config.api_keys = Arc::new(meetings.clone());
    config.replies = Arc::new(meetings.clone());
    config.meetings = Arc::new(meetings.clone());
    rooms.observer = meetings.observer();
    config.rooms = rooms;
    config.allowed_origins = settings.allowed_origin.iter().map(ToString::to_string).collect();
    if settings.allowed_origin.iter().any(AllowedOrigin::is_null) {
        tracing::warn!(
            "--allowed-origin null lets every page use this server that hides where it comes from"
        );
    }
    if let Some(certificates) = certificates {
        config.is_own_name = Arc::new(move |name| certificates.is_for(name));
    }
    config.public_url = settings.public_url.as_ref().map(ToString::to_string);
    Signaling::start(config)
}
