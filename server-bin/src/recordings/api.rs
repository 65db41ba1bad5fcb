//! `/api/v1/recordings`.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_api::{ApiKeys, Caller, Problem, no_store};
use recording::container::Container;
use recording::driver::Recorder;
use recording::index::{Entry, EntryState, RecordingId};
use recording::upload::Upload;
use serde::{Deserialize, Serialize};
use signaling_core::message::{Name, TrackSource};
use signaling_core::{
    Code, FileClaims, PeerId, Refusal, RoomId, ServerKey, SystemEntropy, Timestamp, WallClock,
};
use signaling_transport::{Hub, Signaling, SystemClock};

use super::access::{self, Reach};
use super::{Recordings, control, download};

/// Recordings per page: default and maximum.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;
/// Validity of a link to a file: an evening with a long recording.
const LINK_LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);

/// Shared state of the routes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    recorder: Recorder,
    signaling: Signaling,
    key: ServerKey,
    clock: SystemClock,
    keys: Arc<dyn ApiKeys>,
    /// The prefix of this server's paths in URLs sent to clients.
    below: String,
}

impl Api {
    pub(crate) fn new(
        recordings: &Recordings,
        signaling: &Signaling,
        key: ServerKey,
        keys: Arc<dyn ApiKeys>,
        below: &str,
    ) -> Self {
        let (recorder, signaling, below) =
            (recordings.recorder().clone(), signaling.clone(), below.to_owned());
        let clock = signaling.hub().clock();
        Self { inner: Arc::new(Inner { recorder, signaling, key, clock, keys, below }) }
    }

    /// The room of a code, a name or an id.
    pub(super) async fn room(&self, caller: &Caller, text: &str) -> Result<RoomId, Refusal> {
        self.inner.signaling.room(caller.ip, text).await
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/api/v1/recordings", get(list).post(control::start))
            .route("/api/v1/recordings/stop", post(control::stop))
            .route("/api/v1/recordings/{recording}", get(show).delete(delete))
            .route("/api/v1/recordings/{recording}/file", get(file))
            .route("/api/v1/recordings/{recording}/captions", get(captions))
            .with_state(self)
    }

    pub(super) fn hub(&self) -> &Hub {
        self.inner.signaling.hub()
    }

    pub(super) fn key(&self) -> &ServerKey {
        &self.inner.key
    }

    pub(super) fn keys(&self) -> &dyn ApiKeys {
        &*self.inner.keys
    }

    /// The access granted by the request's bearer.
    async fn reach(&self, headers: &HeaderMap) -> Result<Reach, Refusal> {
        access::reach(self.key(), self.keys(), headers).await
    }

    /// A recording that the bearer may access; others are reported as not found.
    fn find(&self, reach: &Reach, recording: &str) -> Result<Entry, Refusal> {
        let id: Option<RecordingId> = recording.parse().ok();
        id.and_then(|id| self.inner.recorder.index().get(id))
            .filter(|entry| reach.covers(&entry.room, entry.life))
            .ok_or_else(|| Refusal::new(Code::NotFound, "there is no such recording"))
    }

    /// A recording accessed by a self-contained link.
    fn find_by_link(&self, link: &str, recording: &str) -> Result<Entry, Refusal> {
        let refused = || Refusal::new(Code::Unauthorized, "the link has expired, or was never good");
        let claims = FileClaims::open(&self.inner.key, link).ok_or_else(refused)?;
        let is_good = claims.file == recording && claims.expires_at_ms > self.inner.clock.now().as_millis();
        is_good.then_some(()).ok_or_else(refused)?;
        self.find(&Reach::All, recording)
    }

    /// A self-contained link to a recording's `file` or `captions`.
    fn link(&self, recording: RecordingId, what: &str) -> String {
        let expires_at = self.inner.clock.now() + LINK_LIFETIME;
        let claims = FileClaims { file: recording.to_string(), expires_at_ms: expires_at.as_millis() };
        let link = claims.seal(&self.inner.key, &mut SystemEntropy);
        format!("{}/api/v1/recordings/{recording}/{what}?link={link}", self.inner.below)
    }

    /// The recording of a request, by its link or its bearer.
    async fn requested(
        &self,
        link: Option<&str>,
        recording: &str,
        headers: &HeaderMap,
    ) -> Result<Entry, Refusal> {
        match link {
            Some(link) => self.find_by_link(link, recording),
            None => self.find(&self.reach(headers).await?, recording),
        }
    }

    fn shown(&self, entry: Entry) -> Shown {
        Shown {
            url: self.link(entry.recording, "file"),
            captions_url: entry.captions.then(|| self.link(entry.recording, "captions")),
            recording: entry.recording,
            room: entry.room,
            peer: entry.peer,
            name: entry.name,
            source: entry.source,
            started_at: entry.started_at,
            ended_at: entry.ended_at,
            state: entry.state,
            container: entry.container,
            codecs: entry.codecs,
            bytes: entry.bytes,
            duration_ms: entry.duration_ms,
            lost_packets: entry.lost_packets,
            dropped_packets: entry.dropped_packets,
            error: entry.error.or(entry.finalise_error),
            local: entry.local,
            upload: entry.upload.map(|upload| ShownUpload::new(&upload, entry.bytes, entry.upload_error)),
        }
    }
}

/// A recording as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    recording: RecordingId,
    room: RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<PeerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    source: TrackSource,
    started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    state: EntryState,
    container: Container,
    codecs: Vec<String>,
    bytes: u64,
    duration_ms: u64,
    lost_packets: u64,
    dropped_packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    captions_url: Option<String>,
    local: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<ShownUpload>,
}

/// The progress of a recording's upload to object storage.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownUpload {
    state: &'static str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl ShownUpload {
    fn new(upload: &Upload, size: u64, error: Option<String>) -> Self {
        let (state, bytes) = match upload {
            Upload::Waiting => ("waiting", 0),
            Upload::Uploading(parts) => ("uploading", parts.bytes()),
            Upload::Stored { .. } => ("stored", size),
        };
        Self { state, bytes, object: upload.object().map(str::to_owned), error }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    room: Option<String>,
    /// The last one of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Listed {
    recordings: Vec<Shown>,
    /// `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RecordingId>,
}

/// `GET /api/v1/recordings?room=`, newest first.
async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reach = api.reach(&headers).await?;
    let Query(wanted) = wanted.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let room = match wanted.room {
        Some(room) => Some(api.room(&caller, &room).await?),
        None => None,
    };
    if let (Some(room), Reach::Room(own, _)) = (&room, &reach)
        && room != own
    {
        return Err(Refusal::new(Code::Forbidden, "the token is one of another room").into());
    }
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Refusal::bad_request(format!("`limit` is from 1 to {LARGEST_PAGE}")).into());
    }
    let index = api.inner.recorder.index();
    let after = wanted.after.map(|after| after.parse::<RecordingId>()).transpose();
    let after = after.map_err(|_| Refusal::bad_request("`after` is the `next` of a page"))?;
    let mut listed: Vec<_> = index.page(after, limit + 1, |entry| {
        reach.covers(&entry.room, entry.life) && room.as_ref().is_none_or(|room| *room == entry.room)
    });
    let has_more = listed.len() > limit;
    listed.truncate(limit);
    let next = listed.last().filter(|_| has_more).map(|entry| entry.recording);
    let recordings = listed.into_iter().map(|entry| api.shown(entry)).collect();
    Ok(no_store(Json(Listed { recordings, next })))
}

/// `GET /api/v1/recordings/{recording}`.
async fn show(
    State(api): State<Api>,
    Path(recording): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let entry = api.find(&api.reach(&headers).await?, &recording)?;
    Ok(no_store(Json(api.shown(entry))))
}

/// `DELETE /api/v1/recordings/{recording}`.
async fn delete(
    State(api): State<Api>,
    Path(recording): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let entry = api.find(&api.reach(&headers).await?, &recording)?;
    let recorder = api.inner.recorder.clone();
    let deleted = tokio::task::spawn_blocking(move || recorder.delete(entry.recording)).await;
    match deleted {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => {
            tracing::error!(%error, "a recording could not be deleted");
            Err(Refusal::new(Code::Internal, "the recording could not be deleted").into())
        }
        Err(_) => Err(Refusal::new(Code::Internal, "the recording could not be deleted").into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileQuery {
    link: Option<String>,
    download: Option<String>,
}

/// `GET /api/v1/recordings/{recording}/file`, whole or in ranges.
async fn file(
    State(api): State<Api>,
    Path(recording): Path<String>,
    query: Result<Query<FileQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let entry = api.requested(query.link.as_deref(), &recording, request.headers()).await?;
    let path = api.inner.recorder.index().path(&entry);
    let local = download::from_folder(&path, &entry, request.headers()).await?;
    let mut answer = match (local, api.inner.recorder.store()) {
        (Some(answer), _) => answer,
        (None, Some(store)) => download::from_store(store, &entry, request.headers()).await?,
        (None, None) => return Err(Refusal::new(Code::NotFound, "the recording's file is gone").into()),
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(entry.container.media_type()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if query.download.is_some()
        && let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", entry.file))
    {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptionsQuery {
    link: Option<String>,
}

/// `GET /api/v1/recordings/{recording}/captions`: what was said, as `WebVTT`.
async fn captions(
    State(api): State<Api>,
    Path(recording): Path<String>,
    query: Result<Query<CaptionsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let entry = api.requested(query.link.as_deref(), &recording, &headers).await?;
    match tokio::fs::read(api.inner.recorder.index().captions_path(&entry)).await {
        Ok(text) => Ok(no_store(([(CONTENT_TYPE, "text/vtt; charset=utf-8")], text))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Refusal::new(Code::NotFound, "the recording has no captions").into())
        }
        Err(error) => {
            tracing::warn!(recording = %entry.recording, %error, "captions cannot be read");
            Err(Refusal::new(Code::Internal, "the captions cannot be read").into())
        }
    }
}
