//! The HTTP requests of Engine.IO protocol 4, which open a connection, poll, post, and upgrade to a WebSocket.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use http_api::{Caller, Problem, no_store};
use http_body::Body as _;
use signaling_core::{Code, Refusal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::PACKET_BYTES;
use super::link::{Greeting, Link};
use super::polling::{ClientRequest, Sessions};
use super::transport::Transport;
use crate::duplex::{self, FIRST_MESSAGE};
use crate::service::Signaling;
use crate::websocket::{self, Incoming, SUBPROTOCOL, WebSocket, handshake};

/// The routes of the transport.
pub(crate) fn routes(signaling: &Signaling) -> Router<Signaling> {
    let sessions = Arc::new(Sessions::counted_by(signaling.polling_clients().clone()));
    let answer = move |State(signaling): State<Signaling>, request: Request| {
        answer(signaling, Arc::clone(&sessions), request)
    };
    let methods = get(answer.clone()).post(answer);
    // Clients request the path with the slash unless they are configured not to.
    Router::new().route("/socket.io/", methods.clone()).route("/socket.io", methods)
}

/// Engine.IO's errors for invalid requests, by their numbers.
#[derive(Clone, Copy)]
enum InvalidRequest {
    Transport = 0,
    Session = 1,
    Method = 2,
    Request = 3,
    Version = 5,
}

impl From<InvalidRequest> for Response {
    fn from(invalid: InvalidRequest) -> Self {
        let message = match invalid {
            InvalidRequest::Transport => "Transport unknown",
            InvalidRequest::Session => "Session ID unknown",
            InvalidRequest::Method => "Bad handshake method",
            InvalidRequest::Request => "Bad request",
            InvalidRequest::Version => "Unsupported protocol version",
        };
        let body = serde_json::json!({"code": invalid as u8, "message": message});
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}

async fn answer(signaling: Signaling, sessions: Arc<Sessions>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1)
    };
    if parameter("EIO") != Some("4") {
        return InvalidRequest::Version.into();
    }
    let Some(transport @ ("polling" | "websocket")) = parameter("transport") else {
        return InvalidRequest::Transport.into();
    };
    let is_polling = transport == "polling";
    let Some(id) = parameter("sid") else {
        return match (request.method(), is_polling) {
            (&Method::GET, true) => open(signaling, &sessions, request),
            (&Method::GET, false) => connect(signaling, request).await,
            _ => InvalidRequest::Method.into(),
        };
    };
    let Some(client) = sessions.client(id) else { return InvalidRequest::Session.into() };
    match (request.method(), is_polling) {
        (&Method::GET, true) => poll(&client).await,
        (&Method::GET, false) => upgrade(client, request).await,
        (&Method::POST, true) => post(&client, request.into_body()).await,
        _ => InvalidRequest::Request.into(),
    }
}

/// A connection that starts as a WebSocket.
async fn connect(signaling: Signaling, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let caller = Caller::of(&parts);
    match handshake::accept(parts, SUBPROTOCOL).await {
        Ok((response, upgrade)) => {
            tokio::spawn(async move {
                let Some(socket) = websocket::begin(upgrade, PACKET_BYTES).await else { return };
                let Some(greeting) = Greeting::new(false) else { return };
                let mut link = Link::new(Transport::WebSocket(socket));
                link.greet(&greeting);
                duplex::serve(signaling, caller, link).await;
            });
            response
        }
        Err(refusal) => refusal,
    }
}

/// The first poll of a client, which is answered with the greeting.
fn open(signaling: Signaling, sessions: &Arc<Sessions>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let caller = Caller::of(&parts);
    if let Err(refusal) = signaling.pass_poll_gate(&caller) {
        return Problem::from(refusal).into_response();
    }
    let Some(greeting) = Greeting::new(true) else {
        return Problem::from(Refusal::new(Code::Internal, "the system gives no random bytes"))
            .into_response();
    };
    let Some(polling) = sessions.open(greeting.id().to_owned()) else {
        return Problem::from(Refusal::new(Code::Overloaded, "too many clients are polling")).into_response();
    };
    let link = Link::new(Transport::Polling(Box::new(polling)));
    tokio::spawn(duplex::serve(signaling, caller, link));
    payload(greeting.packet())
}

async fn poll(client: &mpsc::Sender<ClientRequest>) -> Response {
    let (poll, packets) = oneshot::channel();
    if client.send(ClientRequest::Poll(poll)).await.is_err() {
        return InvalidRequest::Session.into();
    }
    match packets.await {
        Ok(packets) => payload(packets),
        Err(_) => InvalidRequest::Session.into(),
    }
}

async fn post(client: &mpsc::Sender<ClientRequest>, body: Body) -> Response {
    // Refused on the announced size, before any of the body has come.
    if body.size_hint().lower() > PACKET_BYTES as u64 {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let Ok(body) = timeout(FIRST_MESSAGE, to_bytes(body, PACKET_BYTES)).await else {
        return StatusCode::REQUEST_TIMEOUT.into_response();
    };
    let Ok(body) = body else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let Ok(packets) = String::from_utf8(body.into()) else { return InvalidRequest::Request.into() };
    let (answer, taken) = oneshot::channel();
    if client.send(ClientRequest::Post(packets, answer)).await.is_err() {
        return InvalidRequest::Session.into();
    }
    match taken.await {
        Ok(()) => payload("ok".to_owned()),
        Err(_) => InvalidRequest::Request.into(),
    }
}

fn payload(packets: String) -> Response {
    no_store(([(CONTENT_TYPE, "text/plain; charset=UTF-8")], packets))
}

/// A polling client asks to upgrade.
async fn upgrade(client: mpsc::Sender<ClientRequest>, request: Request) -> Response {
    match handshake::accept(request.into_parts().0, SUBPROTOCOL).await {
        Ok((response, upgrade)) => {
            tokio::spawn(async move {
                let Some(socket) = websocket::begin(upgrade, PACKET_BYTES).await else { return };
                let socket = timeout(FIRST_MESSAGE, probe(&client, socket)).await.ok().flatten();
                // If the client's task is gone, neither matters.
                let _ = client
                    .send(socket.map_or(ClientRequest::Probe(false), |socket| {
                        ClientRequest::Upgrade(Box::new(socket))
                    }))
                    .await;
            });
            response
        }
        Err(refusal) => refusal,
    }
}

/// Lets the client test the WebSocket. Returns it once the client has upgraded.
async fn probe(client: &mpsc::Sender<ClientRequest>, mut socket: WebSocket) -> Option<WebSocket> {
    if text(&mut socket).await? != "2probe" {
        return None;
    }
    client.send(ClientRequest::Probe(true)).await.ok()?;
    socket.push_text("3probe".into());
    (text(&mut socket).await? == "5").then_some(socket)
}

async fn text(socket: &mut WebSocket) -> Option<String> {
    match socket.recv().await {
        Some(Ok(Incoming::Text(packet))) => Some(packet),
        _ => None,
    }
}
