//! What a connection carries, told by its first bytes.

use std::fmt;
use std::io;
use std::net::TcpStream as StdStream;
use std::time::Duration;

use rustls::ServerConnection;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::connection_limits::Permit;

/// The first byte of a TLS record that carries a handshake (RFC 8446 section 5.1); no HTTP method begins so.
const TLS_HANDSHAKE: u8 = 22;
/// The application protocol of TURN under TLS (RFC 7443).
pub(super) const RELAY_PROTOCOL: &[u8] = b"stun.turn";
/// The magic cookie of STUN (RFC 8489 section 5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// The bytes up to the end of the cookie behind the length of a frame (RFC 4571).
const STUN_BYTES: usize = 10;
/// What a client may send before its first frame has been read, a connectivity check of a few hundred bytes.
const MAX_FIRST_FRAME: usize = 2_048;
/// The time from the first byte to the end of the first frame.
const FIRST_FRAME_TIME: Duration = Duration::from_secs(5);
/// The time between two looks at a connection that has sent less than it takes to tell.
const RECHECK: Duration = Duration::from_millis(20);

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A TLS handshake.
    Tls,
    /// HTTP, or something that HTTP will refuse.
    Http,
    /// STUN or TURN (RFC 8489 section 6.2.2): the message is its own frame.
    Stun,
    /// Media: frames with their length before them (RFC 4571), the first of which is a connectivity check (RFC 6544).
    Media,
    /// More bytes are needed, this many in all.
    Incomplete(usize),
    /// Nothing that is served here.
    Unknown,
}

impl Opening {
    /// Tells what a connection carries that begins with these bytes.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [] => Self::Incomplete(1),
            [TLS_HANDSHAKE, ..] => Self::Tls,
            // The two highest bits of a STUN message are zero, and a first frame is shorter than 2 KiB. No method of
            // HTTP begins with such a byte.
            [0..=7, ..] => match (first.get(4..8), first.get(6..STUN_BYTES)) {
                (Some(cookie), _) if cookie == MAGIC_COOKIE => Self::Stun,
                (_, Some(cookie)) if cookie == MAGIC_COOKIE => Self::Media,
                (_, Some(_)) => Self::Unknown,
                (_, None) => Self::Incomplete(STUN_BYTES),
            },
            _ => Self::Http,
        }
    }

    /// The same inside TLS, whose handshake agreed on no application protocol.
    pub fn inside_tls(first: &[u8]) -> Self {
        match first {
            [] => Self::Incomplete(1),
            // No request of HTTP begins so.
            [0..=3, ..] => Self::Stun,
            _ => Self::Http,
        }
    }
}

/// A connection that carries media.
pub struct MediaConnection {
    /// The socket, which does not block.
    pub socket: StdStream,
    /// What has been received: the first frame.
    pub received: Vec<u8>,
    /// The connection's place among those of its address, to be dropped with it.
    pub place: ConnectionPlace,
}

/// A connection that carries STUN and TURN.
pub struct RelayConnection {
    /// The socket, which does not block.
    pub socket: StdStream,
    /// The TLS on it, after the handshake and perhaps with bytes that have been decrypted.
    pub tls: Option<Box<ServerConnection>>,
    /// The connection's place among those of its address, to be dropped with it.
    pub place: ConnectionPlace,
}

/// The place of a connection among those of its address. Dropping it frees the place.
#[derive(Debug)]
pub struct ConnectionPlace {
    pub(super) _permit: Permit,
}

/// Takes over the connections that carry media (RFC 6544).
pub trait MediaListener: fmt::Debug + Send + Sync {
    /// Takes a connection over, or closes it. Must not block.
    fn accept(&self, connection: MediaConnection);
}

/// Takes over the connections that carry STUN and TURN.
pub trait RelayListener: fmt::Debug + Send + Sync {
    /// Takes a connection over, or closes it. Must not block.
    fn accept(&self, connection: RelayConnection);
}

/// Whether a connection whose TLS handshake is over carries TURN: by its application protocol (RFC 7443), or because it
/// begins as no request of HTTP does.
pub(super) async fn is_relay(tls: &mut TlsStream<TcpStream>) -> io::Result<bool> {
    match tls.get_ref().1.alpn_protocol() {
        Some(protocol) => Ok(protocol == RELAY_PROTOCOL),
        None => Ok(Opening::inside_tls(tls.fill_buf().await?) == Opening::Stun),
    }
}

/// Reads until it is clear what the connection carries, without taking bytes of TLS or HTTP away.
pub(super) async fn read_opening(stream: &TcpStream) -> io::Result<Opening> {
    let mut first = [0; STUN_BYTES];
    // Bytes that are peeked at stay in the socket, so that only the first byte can be waited for.
    let read = stream.peek(&mut first).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Opening::of(first.get(..read).unwrap_or_default()))
}

/// Reads on until it is clear which of the two a connection carries. STUN's bytes stay in the socket.
pub(super) async fn read_unclear(stream: &TcpStream) -> io::Result<Opening> {
    // A socket says when it has received something, not when it has received more: the few clients whose first packet is
    // cut this short are looked at again a little later.
    let looking = async {
        loop {
            match read_opening(stream).await? {
                Opening::Incomplete(_) => tokio::time::sleep(RECHECK).await,
                opening => return Ok(opening),
            }
        }
    };
    tokio::time::timeout(FIRST_FRAME_TIME, looking).await?
}

/// Reads the first frame of a connection that carries media.
pub(super) async fn read_first_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let reading = async {
        let mut received = vec![0; 2];
        stream.read_exact(&mut received).await?;
        let len = received.first_chunk().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
        if len > MAX_FIRST_FRAME {
            return Err(io::Error::other("the first frame is no connectivity check"));
        }
        received.resize(2 + len, 0);
        stream.read_exact(received.get_mut(2..).unwrap_or_default()).await?;
        Ok(received)
    };
    tokio::time::timeout(FIRST_FRAME_TIME, reading).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_told_by_its_first_bytes() {
        let stun = [&[0, 1, 0, 0][..], &MAGIC_COOKIE, &[0; 12]].concat();
        let framed = [&[0, 20][..], &stun].concat();
        assert_eq!(Opening::of(&[22, 3, 1]), Opening::Tls);
        assert_eq!(Opening::of(b"G"), Opening::Http);
        assert_eq!(Opening::of(b"PRI * HTTP/2.0"), Opening::Http);
        assert_eq!(Opening::of(&stun), Opening::Stun);
        assert_eq!(Opening::of(&framed), Opening::Media);
        for first in [&stun[..7], &framed[..9]] {
            assert_eq!(Opening::of(first), Opening::Incomplete(STUN_BYTES), "{first:?}");
        }
        assert_eq!(Opening::of(&[]), Opening::Incomplete(1));
        assert_eq!(Opening::of(&[0; 10]), Opening::Unknown);
    }

    #[test]
    fn more_bytes_never_change_what_was_told() {
        let mut bytes = [&[0, 20, 0, 1, 0, 0][..], &MAGIC_COOKIE, &[0; 12]].concat();
        for at in 0..bytes.len() {
            for value in [0, 1, 7, 8, 22, 0x21, 0x12, 0xa4, 0x42, 0xff] {
                let before = std::mem::replace(&mut bytes[at], value);
                let whole = Opening::of(&bytes);
                for end in 0..bytes.len() {
                    let part = Opening::of(&bytes[..end]);
                    let is_open = matches!(part, Opening::Incomplete(needed) if needed > end);
                    assert!(part == whole || is_open, "{:?}: {part:?}, later {whole:?}", &bytes[..end]);
                }
                bytes[at] = before;
            }
        }
    }
}
