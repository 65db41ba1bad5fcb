//! The transport of a client's packets.

use std::sync::Arc;

use signaling_core::Frame;

use super::polling::{Gone, Polling, Step};
use crate::duplex::Fault;
use crate::websocket::{Incoming, WebSocket};

/// Carries packets, by polling or WebSocket, with an upgrade from one to the other. Its futures are cancel-safe:
/// nothing is lost if one is dropped early.
pub(super) enum Transport {
    WebSocket(WebSocket),
    Polling(Box<Polling>),
}

impl Transport {
    /// The next packet. Queued packets are written in the meantime.
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

    /// Queues a packet.
    pub(super) fn push(&mut self, packet: String) {
        match self {
            Self::WebSocket(socket) => socket.push_text(packet.into()),
            Self::Polling(polling) => polling.push(&[&packet]),
        }
    }

    /// Queues a packet with an event or an answer, after at most 30 bytes of prefix.
    pub(super) fn push_event(&mut self, before: &str, frame: Arc<Frame>, after: &'static str) {
        match self {
            Self::WebSocket(socket) => socket.push(before.as_bytes(), frame, after.as_bytes()),
            // The codec writes valid UTF-8.
            Self::Polling(polling) => polling.push(&[before, &String::from_utf8_lossy(&frame.json), after]),
        }
    }

    /// Writes every queued packet.
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

    /// Writes every queued packet, closes, and waits until the other side has closed too.
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

    /// Continues over a WebSocket. Every POST has been taken, or the client would not have upgraded.
    fn upgrade(&mut self, mut socket: WebSocket) {
        if let Self::Polling(polling) = self {
            for packet in polling.left() {
                socket.push_text(packet.into());
            }
        }
        *self = Self::WebSocket(socket);
    }
}
