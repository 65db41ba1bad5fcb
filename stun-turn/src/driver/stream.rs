//! A client's TCP or TLS connection.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::{ServerConfig, ServerConnection};

use crate::five_tuple::FiveTuple;

/// Bytes that wait for a client that does not read. Relayed packets above it are dropped, as by a full socket buffer.
pub(super) const MAX_PENDING: usize = 256 * 1024;
/// Bytes read per event, so that one client does not delay the others.
const READ_BUDGET: usize = 128 * 1024;
/// First byte of a TLS record with a handshake message.
const TLS_HANDSHAKE: u8 = 0x16;

/// The protocol of a connection.
enum Layer {
    /// Nothing was received yet. `tls` is the configuration for a TLS handshake.
    Unknown {
        tls: Option<Arc<ServerConfig>>,
        allows_plain: bool,
    },
    Plain,
    Tls(Box<ServerConnection>),
}

/// Bytes that wait to be written.
#[derive(Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    start: usize,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes until everything is gone or the socket is full.
    pub(super) fn write_to(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while self.start < self.bytes.len() {
            match socket.write(self.bytes.get(self.start..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.start += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
            // An idle connection keeps no more than a packet's worth.
            self.bytes.shrink_to(2048);
        } else if self.start > MAX_PENDING / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        Ok(())
    }
}

impl io::Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client's connection that was accepted elsewhere, for [`Handle::accept`](crate::Handle::accept).
pub struct ClientConnection {
    /// The socket.
    pub socket: TcpStream,
    /// The TLS on it, after the handshake and perhaps with bytes that have been decrypted.
    pub tls: Option<Box<ServerConnection>>,
    /// Dropped with the connection: its place among those of its address.
    pub place: Box<dyn Send>,
}

/// A connection of a client.
pub(super) struct Stream {
    pub(super) socket: TcpStream,
    pub(super) tuple: FiveTuple,
    /// Bytes of an incomplete frame.
    pub(super) received: Vec<u8>,
    pub(super) last_heard: Instant,
    /// The peer's connection that this one exchanges data with (RFC 6062).
    pub(super) spliced: Option<usize>,
    pub(super) wants_write: bool,
    pub(super) is_paused: bool,
    /// The peer has closed; this connection is closed when everything is written.
    pub(super) is_finishing: bool,
    layer: Layer,
    pending: Pending,
    /// The connection's place where it was accepted.
    _place: Option<Box<dyn Send>>,
}

/// The result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// The connection is open.
    Open,
    /// The client has closed its side.
    Closed,
}

impl Stream {
    pub(super) fn new(
        socket: TcpStream,
        tuple: FiveTuple,
        tls: Option<Arc<ServerConfig>>,
        allows_plain: bool,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            tuple,
            received: Vec::new(),
            last_heard: now,
            spliced: None,
            wants_write: false,
            is_paused: false,
            is_finishing: false,
            layer: Layer::Unknown { tls, allows_plain },
            pending: Pending::default(),
            _place: None,
        }
    }

    /// A connection that was accepted elsewhere, where it was told that it carries TURN.
    pub(super) fn accepted(connection: ClientConnection, tuple: FiveTuple, now: Instant) -> io::Result<Self> {
        let ClientConnection { socket, tls, place } = connection;
        let plain = Self::new(socket, tuple, None, true, now);
        let mut stream = Self { layer: Layer::Plain, _place: Some(place), ..plain };
        if let Some(mut tls) = tls {
            tls.set_buffer_limit(Some(MAX_PENDING));
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            stream.received.resize(state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut stream.received)?;
            stream.layer = Layer::Tls(tls);
        }
        Ok(stream)
    }

    /// Bytes that the client has not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.layer, Layer::Tls(_))
    }

    /// Reads what is there into `received`.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> io::Result<ReadOutcome> {
        let mut total = 0;
        while total < READ_BUDGET {
            let read = match (&self.socket).read(scratch) {
                Ok(0) => return Ok(ReadOutcome::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += read;
            let bytes = scratch.get(..read).unwrap_or_default();
            self.choose_layer(bytes)?;
            match &mut self.layer {
                Layer::Plain => self.received.extend_from_slice(bytes),
                Layer::Tls(tls) => read_tls(tls, bytes, &mut self.received)?,
                Layer::Unknown { .. } => {}
            }
            if read < scratch.len() {
                break;
            }
        }
        self.move_tls()?;
        Ok(ReadOutcome::Open)
    }

    fn choose_layer(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Layer::Unknown { tls, allows_plain } = &mut self.layer else { return Ok(()) };
        self.layer = match (bytes.first(), tls.take(), *allows_plain) {
            (Some(&TLS_HANDSHAKE), Some(config), _) => {
                let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
                connection.set_buffer_limit(Some(MAX_PENDING));
                Layer::Tls(Box::new(connection))
            }
            (_, _, true) => Layer::Plain,
            (_, _, false) => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(())
    }

    /// Takes bytes for the client; written by [`flush`](Self::flush).
    pub(super) fn send(&mut self, parts: [&[u8]; 3]) -> io::Result<()> {
        match &mut self.layer {
            Layer::Tls(tls) => {
                // One record holds the whole message, since some clients treat a record as a message.
                let length: usize = parts.iter().map(|part| part.len()).sum();
                let written = tls.writer().write_vectored(&parts.map(IoSlice::new))?;
                if written < length {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.move_tls()
            }
            Layer::Plain | Layer::Unknown { .. } => {
                for part in parts {
                    self.pending.extend(part);
                }
                Ok(())
            }
        }
    }

    /// Writes what the socket accepts.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.move_tls()?;
        self.pending.write_to(&self.socket)
    }

    /// Queues the TLS close alert if there is TLS, and writes what the socket accepts.
    pub(super) fn close(&mut self) {
        if let Layer::Tls(tls) = &mut self.layer {
            tls.send_close_notify();
        }
        if let Err(error) = self.flush() {
            tracing::trace!(%error, "connection closed with bytes left");
        }
    }

    /// Moves records from the TLS engine to what is pending.
    fn move_tls(&mut self) -> io::Result<()> {
        if let Layer::Tls(tls) = &mut self.layer {
            while tls.wants_write() {
                tls.write_tls(&mut self.pending)?;
            }
        }
        Ok(())
    }
}

fn read_tls(tls: &mut ServerConnection, mut bytes: &[u8], received: &mut Vec<u8>) -> io::Result<()> {
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let length = received.len();
        received.resize(length + state.plaintext_bytes_to_read(), 0);
        if let Some(slot) = received.get_mut(length..) {
            tls.reader().read_exact(slot)?;
        }
    }
    Ok(())
}
