//! The media server with a minimal WHIP and WHEP endpoint.
//!
//! `cargo run -p sfu --example whip_whep -- 8090 3479`, then POST an offer to `/whip/room` and another to `/whep/room`.
#![allow(clippy::disallowed_methods, reason = "the example is its own driver")]

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use sfu::driver::{self, MediaSocket};
use sfu::{Config, Handle};
use signaling_core::message::Role;
use signaling_core::testing::SeededEntropy;
use signaling_core::{HttpOffer, HttpSession, MediaDemand, MediaPlane, PeerId, RoomId};

#[derive(Clone)]
struct App {
    sfu: Handle,
    entropy: Arc<Mutex<SeededEntropy>>,
    sessions: Arc<Mutex<HashMap<String, (RoomId, PeerId)>>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("sfu=info").with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u16>());
    let http_port = arguments.next().transpose()?.unwrap_or(8090);
    let media_port = arguments.next().transpose()?.unwrap_or(0);

    let socket = MediaSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, media_port).into())?;
    let media_port = socket.local_addr()?.port();
    let candidates = vec![SocketAddr::from(([127, 0, 0, 1], media_port))];
    // An example may use a predictable seed; a server takes it from the system.
    let (sfu, workers) = driver::open(Config::new(candidates, [7; 32]), Instant::now())?;
    let mut sockets = vec![socket];
    for worker in workers {
        let socket = sockets.pop().ok_or("one shard, one socket")?;
        std::thread::spawn(move || {
            let stop = AtomicBool::new(false);
            worker.run(socket, |room, event| tracing::info!(%room, ?event), &stop)
        });
    }

    let app = App { sfu, entropy: Arc::new(Mutex::new(SeededEntropy::new(1))), sessions: Arc::default() };
    let router = Router::new()
        .route("/whip/{room}", post(publish))
        .route("/whep/{room}", post(play))
        .route("/session/{session}", delete(end))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", http_port)).await?;
    let address = listener.local_addr()?;
    // A program that starts this example waits for this line.
    writeln!(std::io::stdout(), "listening on {address}, media on port {media_port}")?;
    axum::serve(listener, router).await?;
    Ok(())
}

async fn publish(State(app): State<App>, Path(room): Path<String>, offer: String) -> Response {
    negotiate(app, room, Role::Broadcaster, HttpSession::Publish, offer).await
}

async fn play(State(app): State<App>, Path(room): Path<String>, offer: String) -> Response {
    negotiate(app, room, Role::Viewer, HttpSession::Play { publisher: None }, offer).await
}

async fn negotiate(app: App, room: String, role: Role, session: HttpSession, offer: String) -> Response {
    let Ok(room) = room.parse::<RoomId>() else { return StatusCode::NOT_FOUND.into_response() };
    let peer = PeerId::random(&mut *app.entropy.lock().unwrap_or_else(PoisonError::into_inner));
    app.sfu.demand(&room, MediaDemand::Join { peer, role });
    let (reply, answer) = tokio::sync::oneshot::channel();
    let via = Some(std::net::Ipv4Addr::LOCALHOST.into());
    let offer = HttpOffer { room: room.clone(), peer, session, sdp: offer, via };
    let taken = app.sfu.offer(offer, Box::new(move |result| drop(reply.send(result))));
    if taken.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answer.await {
        Ok(Ok(answer)) => {
            app.sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(peer.to_string(), (room, peer));
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/sdp"));
            if let Ok(location) = format!("/session/{peer}").parse() {
                headers.insert(header::LOCATION, location);
            }
            (StatusCode::CREATED, headers, answer.sdp).into_response()
        }
        Ok(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn end(State(app): State<App>, Path(session): Path<String>) -> StatusCode {
    let known = app.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    match known {
        Some((room, peer)) => {
            app.sfu.demand(&room, MediaDemand::Leave { peer });
            StatusCode::OK
        }
        None => StatusCode::NOT_FOUND,
    }
}
