//! Recording: connects the recorder with the rooms and the media server, and serves recordings over HTTP.

mod access;
mod api;
mod control;
mod download;
mod finalize;

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use meetings::Meetings;
use recording::Retention;
use recording::driver::{Recorder, RecorderConfig, StartError};
use recording::ffmpeg::Ffmpeg;
use recording::store::StoreConfig;
use signaling_core::message::RecordingState;
use signaling_core::{MediaDemand, MediaEvent, MediaPlane, RecordScope, RoomId, Watch};
use signaling_transport::Hub;

pub(crate) use api::Api;
pub(crate) use finalize::{Finalize, finalize};

use crate::children;
use crate::config::{OnOff, RecordMode, Settings};
use crate::data_dir::{self, DataDir, is_of_the_disk};
use crate::folders::Place;

/// The `OpenAPI` description of the routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// The recorder, and the handle to the rooms, which exist a moment later.
#[derive(Clone)]
pub(crate) struct Recordings {
    recorder: Recorder,
    listeners: Arc<OnceLock<Listeners>>,
}

/// Observers of recordings.
struct Listeners {
    hub: Hub,
    meetings: Meetings,
    /// The recorder's thread is not part of it.
    runtime: tokio::runtime::Handle,
}

impl Listeners {
    fn tell(&self, room: &RoomId, event: MediaEvent) {
        if let MediaEvent::Recording { state: RecordingState::Stopped, recording: Some(recording), .. } =
            &event
        {
            let (meetings, room, recording) = (self.meetings.clone(), room.clone(), Arc::clone(recording));
            self.runtime.spawn(async move {
                if let Err(error) = meetings.recording_ready(&room, &recording).await {
                    tracing::error!(%error, %recording, "webhooks are not told of a recording");
                }
            });
        }
        self.hub.media(room, event);
    }
}

impl Recordings {
    /// Starts the recorder, unless it is disabled. If the folder cannot be used, nothing is recorded but calls are
    /// served, unless the operator named the folder.
    pub(crate) fn start(
        settings: &Settings,
        data: &DataDir,
        sfu: sfu::Handle,
        watch: &Watch,
    ) -> anyhow::Result<Option<Self>> {
        if settings.no_recording {
            return Ok(None);
        }
        let folder = folder(settings, data);
        let listeners = Arc::new(OnceLock::<Listeners>::new());
        let told = Arc::clone(&listeners);
        let on_event = Box::new(move |room: &RoomId, event| {
            if let Some(listeners) = told.get() {
                listeners.tell(room, event);
            }
        });
        let ffmpeg = (settings.recording_finalize == OnOff::On).then(|| ffmpeg(settings));
        let config = RecorderConfig {
            folder: folder.clone(),
            fsync: settings.recording_fsync,
            ffmpeg,
            retention: retention(settings),
            store: store(settings),
        };
        match Recorder::start(&config, sfu, watch, on_event) {
            Ok(recorder) => {
                data_dir::tell_if_open(&folder);
                Ok(Some(Self { recorder, listeners }))
            }
            Err(error @ StartError::Folder(_))
                if settings.recording_dir.is_none() && settings.record == RecordMode::Off =>
            {
                let error = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                tracing::warn!(folder = %folder.display(), error, "nothing can be recorded: look at --recording-dir");
                Ok(None)
            }
            Err(StartError::Folder(error)) if is_of_the_disk(&error) => {
                tracing::error!(folder = %folder.display(), %error, "nothing can be recorded until the disk takes something and the server is started anew");
                Ok(None)
            }
            Err(error @ StartError::Store(_)) => {
                Err(error).context("look at --recording-store and --recording-store-option")
            }
            Err(error) => Err(error).with_context(|| {
                format!("cannot keep recordings in {}: look at --recording-dir", folder.display())
            }),
        }
    }

    /// Connects the recorder to the rooms, and to the webhooks of their meetings. Called on the runtime.
    pub(crate) fn connect(&self, hub: &Hub, meetings: &Meetings) {
        let runtime = tokio::runtime::Handle::current();
        // It is connected once.
        let _ = self.listeners.set(Listeners { hub: hub.clone(), meetings: meetings.clone(), runtime });
    }

    /// The folder of recordings.
    pub(crate) fn places(&self) -> Vec<Place> {
        Place::new(self.recorder.index().folder()).into_iter().collect()
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The media plane of rooms that can be recorded.
    pub(crate) fn plane(&self, sfu: sfu::Handle) -> RecordedMedia {
        RecordedMedia { sfu, recorder: self.recorder.clone() }
    }
}

/// ffmpeg, which ends with this process.
fn ffmpeg(settings: &Settings) -> Ffmpeg {
    Ffmpeg::new(settings.ffmpeg.clone()).with_launcher(children::launcher())
}

/// The folder of recordings.
pub(crate) fn folder(settings: &Settings, data: &DataDir) -> PathBuf {
    settings.recording_dir.clone().unwrap_or_else(|| data.file("recordings"))
}

/// Retention limits; 0 means no limit.
fn retention(settings: &Settings) -> Retention {
    let bound = |number: u32| (number > 0).then_some(u64::from(number));
    let age = bound(settings.recording_keep_days.get()).map(|days| Duration::from_secs(days * 86_400));
    Retention { age, bytes: bound(settings.recording_keep_gib.get()).map(|gib| gib << 30) }
}

/// The object storage for finished recordings.
fn store(settings: &Settings) -> Option<StoreConfig> {
    let options = settings.recording_store_option.iter();
    Some(StoreConfig {
        url: settings.recording_store.clone()?,
        options: options.map(|option| (option.name.clone(), option.value.clone())).collect(),
        keeps_local: settings.recording_keep_local == OnOff::On,
    })
}

/// The peers recorded in every room.
pub(crate) fn scope(settings: &Settings) -> RecordScope {
    match settings.record {
        RecordMode::All => RecordScope::Everybody,
        RecordMode::Broadcasters => RecordScope::Broadcasters,
        RecordMode::Off => RecordScope::Nobody,
    }
}

/// The media server, with the recorder observing the demands of rooms.
pub(crate) struct RecordedMedia {
    sfu: sfu::Handle,
    recorder: Recorder,
}

impl MediaPlane for RecordedMedia {
    fn demand(&self, room: &RoomId, demand: MediaDemand) {
        match &demand {
            MediaDemand::Record { scope: RecordScope::Nobody, .. } => {
                return self.recorder.stop(room.clone());
            }
            MediaDemand::Record { life, scope } => {
                return self.recorder.record(room.clone(), *life, *scope == RecordScope::Everybody);
            }
            MediaDemand::Name { peer, name } => {
                return self.recorder.peer(room.clone(), *peer, None, Some(name.clone()));
            }
            MediaDemand::Caption(caption) => {
                return self.recorder.caption(room.clone(), caption.clone());
            }
            MediaDemand::Join { peer, role } => self.recorder.peer(room.clone(), *peer, Some(*role), None),
            MediaDemand::End => self.recorder.ended(room.clone()),
            _ => {}
        }
        self.sfu.demand(room, demand);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layers};

    #[test]
    fn everything_is_kept_unless_told_otherwise() {
        let kept = |toml: &str| {
            let mut layers = Layers::defaults();
            layers.file("visavis.toml".as_ref(), toml).unwrap();
            retention(&Config::new(layers).unwrap().settings)
        };
        assert_eq!(kept(""), Retention::default());
        assert_eq!(kept("recording-keep-days = 0\nrecording-keep-gib = 0"), Retention::default());
        let (age, bytes) = (Some(Duration::from_secs(2_592_000)), Some(10_737_418_240));
        assert_eq!(kept("recording-keep-days = 30\nrecording-keep-gib = '10'"), Retention { age, bytes });
    }

    #[test]
    fn the_description_is_json_and_has_every_route() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        assert_eq!(described["paths"].as_object().unwrap().len(), 5, "as `Api::router`");
        assert!(described["components"]["schemas"].is_object());
    }
}
