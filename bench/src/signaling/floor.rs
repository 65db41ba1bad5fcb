//! The floor: the cost of axum's WebSocket and tokio's broadcast channel, and nothing else. It parses no message,
//! stores nothing, and drops slow clients.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Sender};

use crate::process::say;

/// Messages that a room holds for clients that have not read them yet.
const MESSAGES: usize = 128;

type Rooms = Arc<Mutex<HashMap<String, Sender<Utf8Bytes>>>>;

/// Runs until it is killed.
pub(super) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        say(listener.local_addr()?)?;
        let app = Router::new().route("/ws", get(join)).with_state(Rooms::default());
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                eprintln!("{error}");
            }
        });
        axum::serve(listener, app).await?;
        Ok(())
    })
}

async fn join(
    State(rooms): State<Rooms>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let name = query.get("room").cloned().unwrap_or_default();
    let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    let room = rooms.entry(name).or_insert_with(|| broadcast::channel(MESSAGES).0).clone();
    upgrade.read_buffer_size(4096).on_upgrade(move |socket| chat(socket, room))
}

async fn chat(mut socket: WebSocket, room: Sender<Utf8Bytes>) {
    let mut messages = room.subscribe();
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                // There is at least one receiver: this connection.
                Some(Ok(Message::Text(text))) => drop(room.send(text)),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return,
            },
            message = messages.recv() => match message {
                Ok(text) => {
                    if socket.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}
