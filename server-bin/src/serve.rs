//! The life cycle of the server.

use std::sync::Arc;
use std::time::Duration;

use ::meetings::Meetings;
use anyhow::Context as _;
use sfu::MilestoneObserver;
use signaling_core::Watch;
use signaling_transport::Signaling;
use signaling_transport::net::Shutdown;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::acme::{self, Directory, Renewer};
use crate::banner::Banner;
use crate::certificate::CertificateKeeper;
use crate::config::{Config, Settings};
use crate::data_dir::DataDir;
use crate::folders;
use crate::health::Health;
use crate::ice_servers::Servers;
use crate::keys;
use crate::listener;
use crate::media::{self, Media, Workers};
use crate::meetings;
use crate::metrics::{self, Sources};
use crate::otlp::Otlp;
use crate::overseer::Overseer;
use crate::recordings::Recordings;
use crate::reload;
use crate::room_log::ChatFolder;
use crate::room_store::RoomJournal;
use crate::routes;
use crate::session_key::SessionKey;
use crate::shutdown::Signals;
use crate::signaling::{self, Parts};
use crate::stores;
use crate::turn::{Neighbour, TurnServer};

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
    let keeper = CertificateKeeper::open(settings, &data)?;
    let certificates = keeper.as_ref().map(CertificateKeeper::certificates);
    let Some((session_key, meetings)) = open_meetings(settings, &data, &mut signals).await? else {
        return Ok(());
    };
    let server = listener::bind(settings, certificates.as_ref())?;
    let listening = server.local_addr();

    let ending = CancellationToken::new();
    let otlp = Otlp::start(settings)?;
    let traces = otlp.as_ref().map(Otlp::traces);
    let observer = traces.clone().map(|traces| -> Arc<dyn MilestoneObserver> { traces });
    let media = Media::open(settings, listening, observer)?;
    let server = server.with_media(media.as_ref().and_then(Media::listener));
    let shared_port = media.as_ref().map(Media::shared_port).transpose()?.unwrap_or_default();
    let behind_relay = media.as_ref().map(Media::behind_relay);
    let turn = TurnServer::start(
        settings,
        &data,
        listening,
        Neighbour { media: behind_relay, shared_port },
        keeper.as_ref().and_then(CertificateKeeper::for_turn),
        watch,
    )?;
    let server = server.with_relay(
        turn.as_ref().filter(|_| media::page_port(settings, listening).is_some()).map(TurnServer::listener),
    );
    let servers = Servers::new(settings, turn.as_ref(), listening);
    let handle = media.as_ref().map(Media::handle);
    let recordings = handle.clone().map(|handle| Recordings::start(settings, &data, handle, watch));
    let recordings = recordings.transpose()?.flatten();
    let journal = RoomJournal::open(&data.file("rooms.jsonl"));
    let parts = Parts {
        servers,
        media: handle.clone(),
        recordings: recordings.as_ref(),
        meetings: &meetings,
        certificates,
        watch,
        traces,
    };
    let signaling =
        signaling::start(settings, &session_key, journal.clone(), ChatFolder::of(settings, &data), parts);
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
        causes: Arc::clone(signaling.causes()),
        media: handle,
        turn: turn.as_ref().map(|turn| turn.handle().clone()),
        health: Arc::clone(&health),
        version: routes::version(settings),
    };
    serve_metrics(settings, sources, ending.clone(), watch)?;
    let router = routes::all(
        settings,
        &signaling,
        meetings,
        recordings.as_ref(),
        session_key.server_key(),
        Arc::clone(&health),
    );
    let drain = Duration::from_secs(settings.drain_timeout.get().into());
    let serving = tokio::spawn(watch.engine("listener").run(server.serve(router, ending.clone(), drain)));
    tokio::spawn(watch.engine("settings").run(reload::keep(config.clone(), signals.reload())));
    if let Some(keeper) = keeper {
        order_certificates(settings, &data, &keeper, &ending, watch)?;
        // With one port, its listener shakes hands for the relay, too.
        let turn = turn.as_ref().filter(|_| !settings.one_port).map(|turn| turn.handle().clone());
        let keeping = keeper.keep(ending.clone(), signals.reload(), turn);
        tokio::spawn(watch.engine("certificates").run(keeping));
    }
    // What happens to a folder after the next line is noticed.
    let mut places = vec![("data folder", data.places())];
    places.extend(recordings.as_ref().map(|recordings| ("folder of recordings", recordings.places())));
    folders::watch(places, Arc::clone(&health), watch)?;
    tracing::info!(addr = %listening, "listening");
    Banner::new(settings, listening).tell(settings.log_format);
    overseer.stand_up();

    let signal = signals.next().await;
    tracing::info!(signal, "draining");
    health.draining.cancel();
    Running { signaling, recordings, turn, media, otlp, serving, ending }
        .drain(settings, signals, overseer)
        .await
}

/// Opens the session key and the meetings, and waits for their database; `None` if a signal ends the wait.
async fn open_meetings(
    settings: &Settings,
    data: &DataDir,
    signals: &mut Signals,
) -> anyhow::Result<Option<(SessionKey, Meetings)>> {
    let has_session_key = keys::is_there(settings, data, "session.key");
    let session_key = SessionKey::open(settings, data)?;
    let meetings = meetings::open(settings, data, session_key.server_key())?;
    tokio::select! {
        found = meetings::look_for_database(settings, &meetings) => found?,
        signal = signals.next() => {
            tracing::info!(signal, "ended before it began");
            return Ok(None);
        }
    }
    if !has_session_key {
        meetings::tell_of_new_key(&meetings, data).await;
    }
    Ok(Some((session_key, meetings)))
}

/// The parts to end after a signal.
struct Running {
    signaling: Signaling,
    recordings: Option<Recordings>,
    turn: Option<TurnServer>,
    media: Option<Workers>,
    otlp: Option<Otlp>,
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
        let Self { signaling, recordings, turn, media, otlp, serving, ending } = self;
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
        let is_drained = tokio::select! {
            ended = ended => {
                match ended {
                    Ok(Shutdown::Finished) => tracing::info!("ended"),
                    Ok(Shutdown::Cut(connections)) => tracing::warn!(connections, "ended, connections cut"),
                    Err(error) => tracing::error!(%error, "the listener failed while it ended"),
                }
                true
            }
            signal = signals.next() => {
                tracing::warn!(signal, "ended at once");
                false
            }
        };
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
        if let Some(otlp) = otlp.filter(|_| is_drained) {
            otlp.finish().await;
        }
        Ok(())
    }
}

/// Orders certificates from the ACME directory, if they come from one.
fn order_certificates(
    settings: &Settings,
    data: &DataDir,
    keeper: &CertificateKeeper,
    ending: &CancellationToken,
    watch: &Watch,
) -> anyhow::Result<()> {
    let Some(directory) = Directory::of(settings) else { return Ok(()) };
    let answers = match (&settings.acme_http_listen, &settings.public_url) {
        (Some(listen), Some(page)) => {
            let address = listen.resolve();
            let address =
                address.with_context(|| format!("cannot listen on {listen}: look at --acme-http-listen"))?;
            Some(acme::listen(address, page.to_string(), ending.clone(), watch)?)
        }
        _ => None,
    };
    let renewer = Renewer::new(directory, data, keeper.certificates(), answers, keeper.renewed());
    tokio::spawn(watch.engine("acme").run(renewer.run(ending.clone())));
    Ok(())
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
