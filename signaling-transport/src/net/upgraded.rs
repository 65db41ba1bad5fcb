//! The byte stream of a connection that was upgraded.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Placed;
use super::connection_limits::Place;
use super::stream::Stream;

/// A byte stream that was HTTP before. Behind our own accept loop it is the connection itself, without HTTP's layers
/// around it: each layer would cost a memory access for every read and write.
pub(crate) enum RawStream {
    /// From our accept loop, with its place in the counts.
    Own { stream: Stream, _place: Place },
    /// From another accept loop.
    Other(TokioIo<Upgraded>),
}

/// Waits until HTTP releases a connection. Returns the stream and the bytes already received, or `None` if the
/// connection was lost before.
pub(crate) async fn take_over(upgrade: OnUpgrade) -> Option<(RawStream, Bytes)> {
    match upgrade.await.ok()?.downcast::<TokioIo<Placed>>() {
        Ok(parts) => {
            let (stream, place) = parts.io.into_inner().into_parts()?;
            Some((RawStream::Own { stream, _place: place }, parts.read_buf))
        }
        Err(upgraded) => Some((RawStream::Other(TokioIo::new(upgraded)), Bytes::new())),
    }
}

impl AsyncRead for RawStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own { stream, .. } => Pin::new(stream).poll_read(cx, buf),
            Self::Other(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Own { stream, .. } => Pin::new(stream).poll_write(cx, buf),
            Self::Other(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own { stream, .. } => Pin::new(stream).poll_flush(cx),
            Self::Other(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Self::Other(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Own { stream, .. } => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Other(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Own { stream, .. } => stream.is_write_vectored(),
            Self::Other(io) => io.is_write_vectored(),
        }
    }
}
