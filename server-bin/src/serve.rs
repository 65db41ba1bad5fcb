//! The life cycle of the server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use signaling_core::{RoomName, ServerKey, Watch};
use signaling_transport::Signaling;
use signaling_transport::net::{
    AddressLimits, BindError, Certificates, Mount, PlainHttp, Server, ServerConfig, Shutdown, TrustedProxies,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use web::Web;

use crate::banner::Banner;
use crate::certificate::CertificateKeeper;
use crate::config::{Config, FrameAncestor, OnOff, PublicUrl, Settings};
use crate::data_dir::DataDir;
use crate::fallback;
use crate::folders;
use crate::health::Health;
use crate::media::{Media, Workers};
use crate::meetings;
use crate::metrics::{self, Sources};
use crate::overseer::Overseer;
use crate::recordings::{Api, Recordings};
use crate::reload;
use crate::room_log::ChatFolder;
use crate::room_store::RoomJournal;
use crate::shutdown::Signals;
use crate::signaling::{self, Parts};
use crate::status::{self, About, Status};
use crate::stores;
use crate::turn::{Servers, TurnServer};

/// Delay after which clients of a server that ends should reconnect.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Runs until a signal or the end of an engine ends it.
pub(crate) async fn serve(config: &Config) -> anyhow::Result<()> {
    let signals = Signals::catch().context("cannot catch signals")?;
    let health = Arc::new(Health::default());
    let overseer = Overseer::start(Arc::clone(&health)).context("cannot start a thread")?;
    #[cfg(feature = "planted-faults")]
    let signals = signals.with_faults(overseer.watch().clone());
    let engine = overseer.watch().engine("main");
    engine.run(run(config, signals, health, &overseer)).await
}

async fn run(
    config: &Config,
    mut signals: Signals,
    health: Arc<Health>,
    overseer: &Overseer,
) -> anyhow::Result<()> {
    let settings = &config.settings;
    let watch = overseer.watch();
    let clocks = watch.engine("clock");
    clock::watch(move || clocks.sign());
    let data = DataDir::open(&settings.data_dir)?;
    let _claim = data.claim()?;
    data.close_to_others();
    let has_session_key = data.has("session.key");
    let keeper = CertificateKeeper::open(settings, &data)?;
    let certificates = keeper.as_ref().map(CertificateKeeper::certificates);

    let meetings = meetings::open(settings, &data)?;
    tokio::select! {
        found = meetings::look_for_database(settings, &meetings) => found?,
        signal = signals.next() => {
            tracing::info!(signal, "ended before it began");
            return Ok(());
        }
    }
    if !has_session_key {
        meetings::tell_of_new_key(&meetings, &data).await;
    }
    let address = settings.listen.resolve();
    let address =
        address.with_context(|| format!("cannot listen on {}: look at --listen", settings.listen))?;
    let server = Server::bind(address, server_config(settings, certificates)).map_err(explain)?;
    let listening = server.local_addr();

    let ending = CancellationToken::new();
    let media = Media::open(settings, listening)?;
    let behind_relay = media.as_ref().map(Media::behind_relay);
    let turn = TurnServer::start(settings, &data, listening, behind_relay, watch)?;
    let servers = Servers::new(settings, turn.as_ref());
    let handle = media.as_ref().map(Media::handle);
    let recordings = match handle.clone() {
        Some(handle) => Recordings::start(settings, &data, handle, watch)?,
        None => None,
    };
    let secret = data.secret("session.key")?;
    let key = ServerKey::new(secret);
    let journal = RoomJournal::open(&data.file("rooms.jsonl"));
    let parts = Parts {
        servers,
        media: handle.clone(),
        recordings: recordings.as_ref(),
        meetings: &meetings,
        certificates: keeper.as_ref().map(CertificateKeeper::certificates),
        watch,
    };
    let signaling =
        signaling::start(settings, secret, journal.clone(), ChatFolder::of(settings, &data), parts);
    meetings::start(&meetings, &signaling, watch);
    let looking = stores::look_after(data.clone(), journal, meetings.clone(), Arc::clone(&health));
    tokio::spawn(watch.engine("stores").run(looking));
    if let Some(recordings) = &recordings {
        recordings.connect(signaling.hub(), &meetings);
        overseer.save(recordings.recorder().clone());
    }
    let relay = turn.as_ref().map(TurnServer::handle);
    let media = media.map(|media| media.start(signaling.hub(), relay, watch)).transpose()?;
    let sources = Sources {
        hub: signaling.hub().clone(),
        media: handle,
        turn: turn.as_ref().map(|turn| turn.handle().clone()),
        draining: health.draining.clone(),
        version: version(settings),
    };
    serve_metrics(settings, sources, ending.clone(), watch)?;
    let api_keys = meetings.clone();
    let web = Web::new(&frame_ancestors(settings), |name| RoomName::parse(name).is_ok());
    let mut router = router(settings, &signaling, meetings, recordings.is_some(), Arc::clone(&health), &web);
    if let Some(recordings) = &recordings {
        let api = Api::new(recordings, &signaling, key, Arc::new(api_keys), public_path(settings));
        router = router.merge(signaling.guard(api.router()));
    }
    let router = fallback::with_fallback(&signaling, web, router)
        .layer(axum::middleware::map_response(http_api::unsniffed));
    let drain = Duration::from_secs(settings.drain_timeout.get().into());
    let accepting = watch.engine("listener").run(server.serve(router, ending.clone(), drain));
    let serving = tokio::spawn(accepting);
    tokio::spawn(watch.engine("settings").run(reload::keep(config.clone(), signals.reload())));
    if let Some(keeper) = keeper {
        let turn = turn.as_ref().map(|turn| turn.handle().clone());
        let keeping = keeper.keep(ending.clone(), signals.reload(), turn);
        tokio::spawn(watch.engine("certificates").run(keeping));
    }
    tracing::info!(addr = %listening, "listening");
    let mut places = vec![("data folder", data.places())];
    if let Some(recordings) = &recordings {
        places.push(("folder of recordings", recordings.places()));
    }
    folders::watch(places, Arc::clone(&health), watch)?;
    Banner::new(settings, listening).tell(settings.log_format);
    overseer.stand_up();

    let signal = signals.next().await;
    tracing::info!(signal, "draining");
    health.draining.cancel();
    Running { signaling, recordings, turn, media, serving, ending }.drain(settings, signals, overseer).await
}

/// The parts to end after a signal.
struct Running {
    signaling: Signaling,
    recordings: Option<Recordings>,
    turn: Option<TurnServer>,
    media: Option<Workers>,
    serving: JoinHandle<Shutdown>,
    ending: CancellationToken,
}

impl Running {
    /// Lets clients move elsewhere, then ends. A second signal ends it at once.
    async fn drain(
        self,
        settings: &Settings,
        mut signals: Signals,
        overseer: &Overseer,
    ) -> anyhow::Result<()> {
        let Self { signaling, recordings, turn, media, serving, ending } = self;
        if let Some(turn) = &turn {
            turn.drain(&settings.turn_alternate);
        }
        let delay = Duration::from_secs(settings.drain_delay.get().into());
        let ended = async {
            tokio::time::sleep(delay).await;
            signaling.go_away(RECONNECT_AFTER).await;
            overseer.stand_down();
            ending.cancel();
            serving.await
        };
        tokio::select! {
            ended = ended => match ended {
                Ok(Shutdown::Finished) => tracing::info!("ended"),
                Ok(Shutdown::Cut(connections)) => tracing::warn!(connections, "ended, connections cut"),
                Err(error) => tracing::error!(%error, "the listener failed while it ended"),
            },
            signal = signals.next() => tracing::warn!(signal, "ended at once"),
        }
        overseer.stand_down();
        if let Some(recordings) = recordings {
            // While the media server still answers, and without blocking the runtime.
            let closed = tokio::task::spawn_blocking(move || recordings.recorder().shut_down()).await;
            closed.context("the recorder failed")?;
        }
        if let Some(turn) = turn {
            turn.stop();
        }
        if let Some(media) = media {
            media.stop();
        }
        Ok(())
    }
}

fn serve_metrics(
    settings: &Settings,
    sources: Sources,
    ending: CancellationToken,
    watch: &Watch,
) -> anyhow::Result<()> {
    let Some(listen) = &settings.metrics_listen else { return Ok(()) };
    let address = listen
        .resolve()
        .with_context(|| format!("cannot serve metrics on {listen}: look at --metrics-listen"))?;
    metrics::serve(address, sources, ending, watch)
}

fn router(
    settings: &Settings,
    signaling: &Signaling,
    meetings: ::meetings::Meetings,
    has_recordings: bool,
    health: Arc<Health>,
    web: &Web,
) -> Router {
    let mut features = signaling.features().to_vec();
    features.extend(settings.smtp.is_some().then(|| "mail".to_owned()));
    let anonymous = settings.anonymous_rooms == OnOff::On;
    features.extend(anonymous.then(|| "anonymous-rooms".to_owned()));
    let about = About { name: "visavis", version: version(settings), features };
    signaling
        .share(status::router(Status { health, about }))
        .merge(signaling.router())
        .merge(meetings::router(signaling, meetings, has_recordings))
        .merge(web.router())
        .method_not_allowed_fallback(http_api::method_not_allowed)
}

/// The path of the server's public URL, without a trailing slash.
fn public_path(settings: &Settings) -> &str {
    settings.public_url.as_ref().map_or("", PublicUrl::path)
}

/// The version that the server reports.
fn version(settings: &Settings) -> String {
    settings.app_version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
}

/// The sites that may show the page in a frame, in the syntax of the content security policy.
fn frame_ancestors(settings: &Settings) -> String {
    if settings.frame_ancestors.is_empty() {
        return "'none'".to_owned();
    }
    settings.frame_ancestors.iter().map(FrameAncestor::source).collect::<Vec<_>>().join(" ")
}

fn server_config(settings: &Settings, certificates: Option<Certificates>) -> ServerConfig {
    ServerConfig {
        certificates,
        trusted_proxies: TrustedProxies::new(settings.trusted_proxy.clone()),
        mount: Mount::below(public_path(settings)),
        plain_http: if settings.redirect_to_https { PlainHttp::RedirectOthers } else { PlainHttp::Serve },
        address_limits: AddressLimits {
            at_once: settings.connections_per_address.get(),
            per_second: settings.new_connections_per_second.get(),
            burst: settings.new_connections_per_second.get().saturating_mul(5),
        },
        ..ServerConfig::default()
    }
}

/// Explains how to resolve a port that cannot be opened.
fn explain(error: BindError) -> anyhow::Error {
    let address = error.address;
    let port = address.port();
    match error.source.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "cannot listen on {address}: another program has port {port}. End it, or choose another port with \
             --listen, as in --listen '[::]:8081'"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "cannot listen on {address}: port {port} needs more rights. Choose one above 1023 with --listen, as in \
             --listen '[::]:8080'"
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow!(
                "cannot listen on {address}: this machine has no such address. Choose another with --listen"
            )
        }
        _ => anyhow::Error::new(error).context("look at --listen"),
    }
}
