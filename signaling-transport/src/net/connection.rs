//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use http::{Method, Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::challenge;
use super::connection_limits::Place;
use super::mount::Entrance;
use super::opening::{
    self, ConnectionPlace, MediaConnection, MediaListener, Opening, RelayConnection, RelayListener,
};
use super::stream::Stream;
use super::takeover::{self, Takeover, TakeoverSlot};
use super::timed_body::TimedBody;
use super::{Certificates, Mount, PlainHttp, TrustedProxies};

/// The state that all connections of a server share.
#[derive(Clone, Debug)]
pub(super) struct ServerState {
    pub(super) router: Router,
    pub(super) certificates: Option<Certificates>,
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) plain_http: PlainHttp,
    pub(super) mount: Mount,
    pub(super) header_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) media: Option<Arc<dyn MediaListener>>,
    pub(super) relay: Option<Arc<dyn RelayListener>>,
    /// Cancelled when no new request may begin.
    pub(super) ending: CancellationToken,
}

/// The largest request head, and what a connection may buffer.
const HEAD_LIMIT: usize = 16 * 1_024;
/// HTTP/2: what one stream may send before its handler has read it.
const STREAM_WINDOW: u32 = 64 * 1_024;
/// HTTP/2: requests open at once; a page with its modules and an event stream needs a few dozen.
const STREAMS: u32 = 128;
/// An HTTP/2 connection that is silent for this long is pinged, and closed if it stays silent for as long again.
const PING: Duration = Duration::from_secs(20);
/// A peer that takes none of the written bytes for this long is gone. Our own writers give up earlier; this protects
/// tasks of others, which would wait for as long as the peer keeps its connection open.
const UNREAD: Duration = Duration::from_secs(30);

/// Serves a connection to its end. An upgraded connection lives on in the task that took it over.
pub(super) async fn serve(server: Arc<ServerState>, stream: TcpStream, peer: SocketAddr, place: Place) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "nodelay refused");
    }
    if let Err(error) = give_up_after(&stream, UNREAD) {
        tracing::debug!(%peer, %error, "no limit on what stays unread");
    }
    let local = stream.local_addr().ok().map(|local| local.ip());
    let opening = Box::pin(tokio::time::timeout(server.header_timeout, open(&server, stream)));
    let opened = tokio::select! {
        opened = opening => opened,
        () = server.ending.cancelled() => return,
    };
    let (io, protocol) = match opened {
        Ok(Ok(Opened::Http(io, protocol))) => (io, protocol),
        Ok(Ok(Opened::Media(stream, listener))) => {
            let Place { _permit: permit, .. } = place;
            let place = ConnectionPlace { _permit: permit };
            if let Err(error) = hand_over(stream, place, &*listener).await {
                tracing::debug!(%peer, %error, "connection for media not opened");
            }
            return;
        }
        Ok(Ok(Opened::Relay(stream, tls, listener))) => {
            let Place { _permit: permit, .. } = place;
            let place = ConnectionPlace { _permit: permit };
            match stream.into_std() {
                Ok(socket) => {
                    listener.accept(RelayConnection { socket, tls, place });
                }
                Err(error) => tracing::debug!(%peer, %error, "connection to the relay not opened"),
            }
            return;
        }
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "connection not opened");
            return;
        }
        Err(_elapsed) => {
            tracing::debug!(%peer, error = "the first bytes took too long", "connection not opened");
            return;
        }
    };
    let takeover = Arc::<TakeoverSlot>::default();
    let service = ClientService {
        server: Arc::clone(&server),
        peer,
        local,
        tls: protocol != Protocol::Plain,
        seen: Arc::default(),
        takeover: Arc::clone(&takeover),
    };
    let io = TokioIo::new(Placed { stream: Some((io, place)), takeover: Arc::clone(&takeover) });
    // HTTP's state is large, and gone once a response takes the connection over: it must not enlarge every connection's
    // task.
    let ended = match protocol {
        Protocol::Plain | Protocol::Tls => Box::pin(serve_http1(&server, io, service)).await,
        Protocol::TlsHttp2 => Box::pin(serve_http2(&server, io, service)).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection failed");
    }
    drop(server);
    if let Some(taken_over) = takeover.taken_over()
        && let Err(error) = takeover::send(taken_over).await
    {
        tracing::debug!(%peer, %error, "stream failed");
    }
}

/// Limits how long written bytes may stay unacknowledged, or lie before a closed window (RFC 5482).
#[cfg(target_os = "linux")]
fn give_up_after(stream: &TcpStream, unread: Duration) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(unread))
}

/// Other systems have no such option.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
fn give_up_after(_: &TcpStream, _: Duration) -> io::Result<()> {
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Plain,
    Tls,
    TlsHttp2,
}

/// A connection whose protocol is known.
enum Opened {
    Http(Stream, Protocol),
    Media(TcpStream, Arc<dyn MediaListener>),
    Relay(TcpStream, Option<Box<ServerConnection>>, Arc<dyn RelayListener>),
}

async fn open(server: &ServerState, stream: TcpStream) -> io::Result<Opened> {
    let mut opening = opening::read_opening(&stream).await?;
    if matches!(opening, Opening::Incomplete(_)) {
        opening = opening::read_unclear(&stream).await?;
    }
    match (opening, &server.media, &server.relay) {
        (Opening::Tls, ..) => {}
        (Opening::Media, Some(media), _) => return Ok(Opened::Media(stream, Arc::clone(media))),
        (Opening::Stun, _, Some(relay)) => return Ok(Opened::Relay(stream, None, Arc::clone(relay))),
        _ => return Ok(Opened::Http(Stream::Plain(stream), Protocol::Plain)),
    }
    let Some(certificates) = &server.certificates else {
        return Err(io::Error::other("a TLS handshake, and TLS is off"));
    };
    // The handshake's future is large and short-lived: it must not enlarge every connection's task.
    let mut tls = Box::pin(TlsAcceptor::from(certificates.current()).accept(stream)).await?;
    let protocol = match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::TlsHttp2,
        Some(challenge::PROTOCOL) => return Err(io::Error::other("a directory's check, which ends here")),
        _ => Protocol::Tls,
    };
    if let Some(relay) = &server.relay
        && opening::is_relay(&mut tls).await?
    {
        let (stream, tls) = tls.into_inner();
        return Ok(Opened::Relay(stream, Some(Box::new(tls)), Arc::clone(relay)));
    }
    Ok(Opened::Http(Stream::Tls(Box::new(tls)), protocol))
}

/// Reads the first frame of a connection for media and hands the connection over.
async fn hand_over(
    mut stream: TcpStream,
    place: ConnectionPlace,
    listener: &dyn MediaListener,
) -> io::Result<()> {
    let received = opening::read_first_frame(&mut stream).await?;
    let socket = stream.into_std()?;
    limit_unsent(&socket)?;
    listener.accept(MediaConnection { socket, received, place });
    Ok(())
}

/// Media waits in queues of its own, which know what has become too old, and not in the kernel.
#[cfg(target_os = "linux")]
fn limit_unsent(socket: &std::net::TcpStream) -> io::Result<()> {
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(16 * 1_024)
}

/// Other systems have no such option.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
fn limit_unsent(_: &std::net::TcpStream) -> io::Result<()> {
    Ok(())
}

/// Serves HTTP/1.1 until the connection ends, or a response takes it over.
async fn serve_http1(server: &ServerState, io: TokioIo<Placed>, service: ClientService) -> hyper::Result<()> {
    let takeover = Arc::clone(&service.takeover);
    let mut connection = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(server.header_timeout)
            .max_buf_size(HEAD_LIMIT)
            .serve_connection(io, service)
            .with_upgrades(),
    );
    tokio::select! {
        ended = &mut connection => return ended,
        () = takeover.asked() => return Ok(()),
        () = server.ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = &mut connection => ended,
        () = takeover.asked() => Ok(()),
    }
}

async fn serve_http2(server: &ServerState, io: TokioIo<Placed>, service: ClientService) -> hyper::Result<()> {
    let seen = Arc::clone(&service.seen);
    let mut connection = Box::pin(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(16 * 1_024)
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(4 * STREAM_WINDOW)
            .max_send_buf_size(HEAD_LIMIT)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .serve_connection(io, service),
    );
    // HTTP/2 has no timer for its preface and first request, so they get one here.
    tokio::select! {
        ended = &mut connection => return ended,
        () = seen.notified() => {}
        () = tokio::time::sleep(server.header_timeout) => return Ok(()),
        () = server.ending.cancelled() => {}
    }
    tokio::select! {
        ended = &mut connection => return ended,
        () = server.ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// The router, with the caller's address added to each request.
struct ClientService {
    server: Arc<ServerState>,
    peer: SocketAddr,
    local: Option<IpAddr>,
    tls: bool,
    /// Notified at every request.
    seen: Arc<Notify>,
    takeover: Arc<TakeoverSlot>,
}

impl hyper::service::Service<Request<Incoming>> for ClientService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.seen.notify_one();
        let mut request = request.map(|body| Body::new(TimedBody::new(body, self.server.body_timeout)));
        let mut client =
            self.server.trusted_proxies.client(self.peer, self.tls, request.uri(), request.headers());
        client.local = self.local.filter(|_| !self.server.trusted_proxies.trusts(self.peer.ip()));
        if let Some(location) = self.server.plain_http.redirect(&client, request.uri()) {
            return Box::pin(std::future::ready(Ok(Redirect::temporary(&location).into_response())));
        }
        let entrance = self.server.mount.enter(request.uri_mut());
        if let Entrance::Redirect(place) = entrance {
            return Box::pin(std::future::ready(Ok(Redirect::permanent(&place).into_response())));
        }
        request.extensions_mut().insert(client);
        let may_take_over = request.version() == Version::HTTP_11 && request.method() == Method::GET;
        let takeover = may_take_over.then(|| Arc::clone(&self.takeover));
        let responding = tower_service::Service::call(&mut self.server.router.clone(), request);
        let mount = (entrance == Entrance::Below).then(|| self.server.mount.clone());
        Box::pin(async move {
            let mut response = responding.await?;
            if let Some(mount) = mount {
                mount.leave(response.headers_mut());
            }
            match takeover {
                Some(takeover) if response.extensions().get::<Takeover>().is_some() => {
                    takeover.ask(response);
                    // The connection is dropped, and this future with it.
                    std::future::pending().await
                }
                _ => Ok(response),
            }
        })
    }
}

/// A byte stream and its place in the counts. If a response takes the connection over, both are handed on instead of
/// dropped.
pub(super) struct Placed {
    stream: Option<(Stream, Place)>,
    takeover: Arc<TakeoverSlot>,
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let Some((stream, place)) = self.stream.take() {
            self.takeover.offer(stream, place);
        }
    }
}

impl Placed {
    /// Both, unless they have been handed on.
    pub(super) fn into_parts(mut self) -> Option<(Stream, Place)> {
        self.stream.take()
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<&mut Stream> {
        let stream = self.get_mut().stream.as_mut().map(|(stream, _)| stream);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Placed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream()?).poll_read(cx, buf)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.stream()?).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream()?).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream()?).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream()?).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(|(stream, _)| stream.is_write_vectored())
    }
}
