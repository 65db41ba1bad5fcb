//! What carries a client's packets.

use std::sync::Arc;

use signaling_core::Frame;

use super::polling::{Polling, Step};
use crate::duplex::{End, Fault};
use crate::websocket::{Incoming, WebSocket};

/// Carries packets, by one way at first and perhaps by the other later. Nothing is lost when a future of it is dropped before
/// its end.
pub(super) enum Transport {
    WebSocket(WebSocket),
    Polling(Box<Polling>),
}

/// The client is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Transport {
    /// The next packet. What was laid out is written while it is awaited.
    pub(super) async fn recv(&mut self) -> Result<Result<Incoming, Fault>, Gone> {
        loop {
            match self {
                Self::WebSocket(socket) => return socket.recv().await.ok_or(Gone),
                Self::Polling(polling) => match polling.recv().await? {
                    Step::Done(packet) => return Ok(Ok(packet)),
                    Step::Upgrade(socket) => self.upgrade(*socket),
                },
            }
        }
    }

    /// Lays out a packet.
    pub(super) fn push(&mut self, packet: String) {
        match self {
            Self::WebSocket(socket) => socket.push_text(packet.into()),
            Self::Polling(polling) => polling.push(&[&packet]),
        }
    }

    /// Lays out a packet with an event or an answer in it, behind at most 30 bytes.
    pub(super) fn push_event(&mut self, before: &str, frame: Arc<Frame>, after: &'static str) {
        match self {
            Self::WebSocket(socket) => socket.push(before.as_bytes(), frame, after.as_bytes()),
            // What the codec writes is UTF-8.
            Self::Polling(polling) => polling.push(&[before, &String::from_utf8_lossy(&frame.json), after]),
        }
    }

    /// Writes everything that was laid out.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        loop {
            match self {
                Self::WebSocket(socket) => return socket.flush().await.map_err(|_| Gone),
                Self::Polling(polling) => match polling.flush().await? {
                    Step::Done(()) => return Ok(()),
                    Step::Upgrade(socket) => self.upgrade(*socket),
                },
            }
        }
    }

    /// Writes everything that was laid out, closes, and waits for the other side to have done so too.
    pub(super) async fn close(&mut self) -> Result<(), Gone> {
        loop {
            match self {
                Self::WebSocket(socket) => {
                    socket.push_close(Some(1000), "");
                    socket.flush().await.map_err(|_| Gone)?;
                    socket.drain().await;
                    return Ok(());
                }
                Self::Polling(polling) => match polling.close().await? {
                    Step::Done(()) => return Ok(()),
                    Step::Upgrade(socket) => self.upgrade(*socket),
                },
            }
        }
    }

    /// Goes on over a WebSocket. Everything that was posted has been taken: else the client would not have changed.
    fn upgrade(&mut self, mut socket: WebSocket) {
        if let Self::Polling(polling) = self {
            for packet in polling.left() {
                socket.push_text(packet.into());
            }
        }
        *self = Self::WebSocket(socket);
    }
}
