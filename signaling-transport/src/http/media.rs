//! `/whip/{room}` and `/whep/{room}`: media for clients that speak only HTTP (RFC 9725, and WHEP in the same form).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, ETAG, LINK, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use http_api::{Caller, Problem, bearer, body_of, media_type, no_store};
use serde::Deserialize;
use signaling_core::message::{IceServers, Join, Leave, Role};
use signaling_core::room::MediaTerms;
use signaling_core::{
    ClientMessage, Code, Envelope, HttpAnswer, HttpMedia, HttpOffer, HttpPatch, HttpReply, HttpSession,
    MalformedRoomName, MediaJoin, Patched, PeerId, Refusal, RoomId, RoomName, Seat,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::media_headers::{Expected, SDP, accepts_sdp, expected, links};
use crate::service::Signaling;

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The routes, and the headers that all their answers have.
pub(super) fn routes() -> Router<Signaling> {
    // Some clients end every URL with a slash.
    let publisher = || post(publish).get(nothing).options(options);
    let player = || post(play).get(nothing).options(options);
    let sessions = || patch(change).get(nothing_of_session).delete(end).options(options);
    Router::new()
        .route("/whip/{room}", publisher())
        .route("/whip/{room}/", publisher())
        .route("/whep/{room}", player())
        .route("/whep/{room}/", player())
        .route("/whip/{room}/{session}", sessions())
        .route("/whep/{room}/{session}", sessions())
        .layer(from_fn(describe))
}

async fn describe(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Location, ETag, Link"));
    response
}

/// Answers `OPTIONS`; the headers say what the endpoint takes.
async fn options() -> StatusCode {
    StatusCode::OK
}

/// `GET` of an endpoint: it has no representation (RFC 9725 section 4.1).
async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Asked {
    name: Option<String>,
    publisher: Option<String>,
    #[serde(rename = "recording-consent")]
    recording_consent: Option<String>,
}

/// The parts of a request to an endpoint.
struct Post {
    signaling: Signaling,
    caller: Caller,
    room: RoomName,
    name: Option<String>,
    publisher: Option<String>,
    /// The publisher consents to being recorded.
    consents: bool,
    token: Option<String>,
    sdp: String,
}

impl FromRequest<Signaling> for Post {
    type Rejection = Problem;

    async fn from_request(request: Request, signaling: &Signaling) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::of(&parts);
        let path = Path::<String>::from_request_parts(&mut parts, signaling).await;
        let room = path.map_err(|_| MalformedRoomName).and_then(|Path(room)| RoomName::parse(&room));
        let room = room.map_err(|malformed| Refusal::bad_request(malformed.to_string()))?;
        let asked = Query::<Asked>::from_request_parts(&mut parts, signaling).await;
        let Query(Asked { name, publisher, recording_consent }) =
            asked.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
        let consents = consents(recording_consent.as_deref())?;
        if !accepts_sdp(&parts.headers) {
            let refusal = Refusal::bad_request("the answer is `application/sdp`");
            return Err(Problem::with_status(StatusCode::NOT_ACCEPTABLE, refusal));
        }
        let token = bearer(&parts.headers).filter(|token| !token.is_empty()).map(str::to_owned);
        let sdp = text_body(Request::from_parts(parts, body), SDP, signaling.limits().message_bytes).await?;
        let name = name.filter(|name| !name.trim().is_empty());
        Ok(Self { signaling: signaling.clone(), caller, room, name, publisher, consents, token, sdp })
    }
}

/// Reads `?recording-consent=`. Any word other than yes or no is refused rather than interpreted.
fn consents(word: Option<&str>) -> Result<bool, Refusal> {
    match word {
        Some("yes" | "true" | "1") => Ok(true),
        Some("no" | "false" | "0") | None => Ok(false),
        Some(_) => Err(Refusal::bad_request("`recording-consent` is `yes` or `no`")),
    }
}

/// `POST /whip/{room}`.
async fn publish(post: Post) -> Result<Response, Problem> {
    // Required whether or not the room is recorded now, since a WHIP client cannot be asked later.
    if post.signaling.recording_consent() && !post.consents {
        let detail =
            "this server asks for consent to being recorded: add `?recording-consent=yes` to the URL";
        return Err(Refusal::new(Code::Forbidden, detail).into());
    }
    open(post, "whip", Role::Broadcaster, HttpSession::Publish).await
}

/// `POST /whep/{room}`.
async fn play(post: Post) -> Result<Response, Problem> {
    let unknown = |_| Refusal::new(Code::PeerUnknown, "no such peer in the room");
    let publisher: Option<PeerId> = post.publisher.as_deref().map(str::parse).transpose().map_err(unknown)?;
    open(post, "whep", Role::Viewer, HttpSession::Play { publisher }).await
}

async fn open(post: Post, endpoint: &str, role: Role, session: HttpSession) -> Result<Response, Problem> {
    let Post { signaling, caller, room, name, token, sdp, .. } = post;
    let media = media_of(&signaling)?;
    let unnamed = if role == Role::Viewer { "Viewer" } else { "Broadcast" };
    let join = Join {
        room,
        name: name.unwrap_or_else(|| unnamed.to_owned()),
        role,
        token,
        password: None,
        create: true,
        topology: None,
        metadata: None,
        client_id: None,
        features: None,
        reached_at: None,
    };
    let arrived = clock::now();
    let (join, mut grant) = signaling.admit(&caller, join).await?;
    // The path may have named the room by a meeting's code.
    let room = join.room.id().clone();
    // A token may grant less than the endpoint needs; the endpoint ignores any more.
    if grant.role.take() == Some(Role::Viewer) && role != Role::Viewer {
        return Err(Refusal::new(Code::Forbidden, "a viewer publishes nothing").into());
    }
    let publisher = match session {
        HttpSession::Play { publisher } => publisher,
        HttpSession::Publish => None,
    };
    let terms = MediaTerms { publisher, flaw: media.check(&room, session, &sdp).err() };
    let seat = signaling.hub().join_media(MediaJoin { join, grant, terms }).await?;
    signaling.joined(&seat, arrived);
    let offer = HttpOffer { room, peer: seat.peer, session, sdp, via: caller.via() };
    let answer = match ask(|reply| media.offer(offer, reply)).await {
        Ok(answer) => answer,
        Err(refusal) => {
            leave(&signaling, seat).await?;
            return Err(refused(refusal).into());
        }
    };
    let servers = signaling.hub().ice_servers(seat.clone(), caller.reached_at()).await?;
    Ok(created(&signaling, endpoint, &seat, answer, &servers.unwrap_or_default()))
}

/// If the media plane does not know a peer that has just joined, it has no capacity left.
fn refused(refusal: Refusal) -> Refusal {
    if refusal.code == Code::SessionUnknown {
        return Refusal::new(Code::Overloaded, "the media server takes no more in this room");
    }
    refusal
}

fn created(
    signaling: &Signaling,
    endpoint: &str,
    seat: &Seat,
    answer: HttpAnswer,
    servers: &IceServers,
) -> Response {
    let mut response = no_store((StatusCode::CREATED, answer.sdp));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    let place = format!("/{endpoint}/{}/{}", seat.room, seat.to_resource(signaling.key()));
    for (name, value) in [(LOCATION, place), (ETAG, format!("\"{}\"", answer.ice_session))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    for link in links(servers) {
        headers.append(LINK, link);
    }
    response
}

/// `PATCH`: candidates, or an ICE restart (RFC 9725 section 4.3).
async fn change(
    State(signaling): State<Signaling>,
    Path((room, session)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let media = media_of(&signaling)?;
    let Seat { room, peer, .. } = seat(&signaling, &room, &session)?;
    let expected = expected(request.headers());
    let sdp = text_body(request, FRAGMENT, signaling.limits().message_bytes).await?;
    let Some(expected) = expected else {
        let refusal =
            Refusal::bad_request("`If-Match` says which ICE session this is about, or `*` to restart it");
        return Err(Problem::with_status(StatusCode::PRECONDITION_REQUIRED, refusal));
    };
    let ice_sessions = match expected {
        Expected::Any => None,
        Expected::OneOf(tags) => Some(tags),
    };
    let asked = HttpPatch { room, peer, ice_sessions, sdp };
    match ask(|reply| media.patch(asked, reply)).await? {
        Patched::Trickled => Ok(StatusCode::NO_CONTENT.into_response()),
        Patched::Restarted(HttpAnswer { sdp, ice_session }) => {
            let mut response = no_store(sdp);
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            if let Ok(tag) = HeaderValue::from_str(&format!("\"{ice_session}\"")) {
                headers.insert(ETAG, tag);
            }
            Ok(response)
        }
        Patched::Stale => {
            let refusal = Refusal::new(Code::InvalidState, "this is about an ICE session of before");
            Err(Problem::with_status(StatusCode::PRECONDITION_FAILED, refusal))
        }
    }
}

/// `DELETE`: ends the session, whatever its ICE session.
async fn end(
    State(signaling): State<Signaling>,
    Path((room, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let seat = seat(&signaling, &room, &session)?;
    if !leave(&signaling, seat).await? {
        return Err(unknown().into());
    }
    Ok(StatusCode::OK)
}

/// `GET` of a session: as of an endpoint, until it ends.
async fn nothing_of_session(
    State(signaling): State<Signaling>,
    Path((room, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let seat = seat(&signaling, &room, &session)?;
    if !signaling.hub().post(seat, Vec::new()).await.map_err(Refusal::from)? {
        return Err(unknown().into());
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn leave(signaling: &Signaling, seat: Seat) -> Result<bool, Refusal> {
    let leave = Ok(Envelope { seq: None, message: ClientMessage::Leave(Leave::default()) });
    Ok(signaling.hub().post(seat, vec![leave]).await?)
}

fn unknown() -> Refusal {
    Refusal::new(Code::SessionUnknown, "no session of that id, or it is over")
}

fn seat(signaling: &Signaling, room: &str, session: &str) -> Result<Seat, Refusal> {
    let room: Option<RoomId> = room.parse().ok();
    room.and_then(|room| Seat::from_resource(signaling.key(), &room, session)).ok_or_else(unknown)
}

pub(super) fn media_of(signaling: &Signaling) -> Result<Arc<dyn HttpMedia>, Refusal> {
    signaling.http_media().ok_or_else(|| Refusal::new(Code::InvalidState, "this server has no media server"))
}

/// The time within which the media plane answers. A worker that needs longer is stuck, and the caller should not be.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Asks the media plane, which answers from its own thread.
pub(super) async fn ask<T: Send + 'static>(ask: impl FnOnce(HttpReply<T>)) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    // A caller that has gone away does not need its answer.
    ask(Box::new(move |result| drop(reply.send(result))));
    let silent = || Refusal::new(Code::Overloaded, "the media server does not answer");
    match timeout(ANSWERED_WITHIN, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err(silent()),
    }
}

/// The body as text, after a check of its media type.
async fn text_body(request: Request, expected: &'static str, most: usize) -> Result<String, Problem> {
    if !media_type(request.headers()).is_some_and(|given| given.eq_ignore_ascii_case(expected)) {
        let refusal = Refusal::bad_request(format!("the body is `{expected}`"));
        return Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal));
    }
    let body = body_of(request, most).await?;
    String::from_utf8(body.into()).map_err(|_| Refusal::bad_request("the body is not UTF-8").into())
}
