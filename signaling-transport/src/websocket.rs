//! `GET /api/v1/ws`.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use signaling_core::message::Reply;
use signaling_core::{CLOSE_SLOW_READER, CloseReason, Code, Envelope, Refusal, RequestId, Unreadable};

pub(crate) use self::frame::{Fault, Incoming};
pub(crate) use self::socket::Socket;
use crate::caller::Caller;
use crate::driver::{Batch, Next, Opened};
use crate::net::{RawStream, take_over};
use crate::opening::{FAREWELL, FIRST_MESSAGE, first_message};
use crate::service::Signaling;

mod frame;
pub(crate) mod handshake;
mod socket;

/// The subprotocol that clients ask for.
pub(crate) const SUBPROTOCOL: &str = "visavis.v1";
/// How long to wait for the other side to close, once our close frame is on its way. It changes nothing but courtesy: a
/// connection that is dropped with something unread in it may lose our close frame as well.
const CLOSING_HANDSHAKE: Duration = Duration::from_millis(500);

/// A WebSocket over a connection that was upgraded.
pub(crate) type WebSocket = Socket<RawStream>;

/// The WebSocket of an upgrade, with messages of at most so many bytes; `None` when the client is gone already.
pub(crate) async fn begin(upgrade: OnUpgrade, largest: usize) -> Option<WebSocket> {
    // What was read early is a slice of HTTP's buffer, which must not live as long as the connection.
    let (stream, early) = take_over(upgrade).await?;
    Some(Socket::new(stream, &early, largest))
}

pub(crate) async fn upgrade(
    State(signaling): State<Signaling>,
    caller: Caller,
    request: Request,
) -> Response {
    match handshake::accept(request.into_parts().0, SUBPROTOCOL).await {
        Ok((response, upgrade)) => {
            tokio::spawn(serve(signaling, caller, upgrade));
            response
        }
        Err(refusal) => refusal,
    }
}

async fn serve(signaling: Signaling, caller: Caller, upgrade: OnUpgrade) {
    // A message that is somewhat too large is read, so that it can be answered; the codec refuses it.
    let largest = signaling.limits().signal_bytes + 1024;
    let Some(mut socket) = begin(upgrade, largest).await else { return };
    // What opening and closing need is large and short-lived: it must not make every connection's task as large.
    let end = match Box::pin(open(&signaling, caller, &mut socket)).await {
        Ok(opened) => {
            let mut connection = Connection { signaling: &signaling, socket: &mut socket, opened };
            let end = connection.run().await;
            let Opened { seat, connection, .. } = connection.opened;
            signaling.hub().detach(&seat, connection);
            end
        }
        Err(end) => end,
    };
    Box::pin(close(&mut socket, end)).await;
}

async fn close(socket: &mut WebSocket, end: End) {
    match end {
        End::Gone => return,
        End::Left(code) => socket.push_close(code, ""),
        End::Close(code, reason) => socket.push_close(Some(code), reason),
    }
    // Whoever is gone does not read it; that is no error.
    let sent = tokio::time::timeout(FAREWELL, socket.flush()).await;
    if let (Ok(Ok(())), End::Close(..)) = (sent, end) {
        let _ = tokio::time::timeout(CLOSING_HANDSHAKE, socket.drain()).await;
    }
}

/// How a connection ends.
#[derive(Clone, Copy)]
enum End {
    /// The other side is gone.
    Gone,
    /// The other side closes, with this code, and hears the same from us.
    Left(Option<u16>),
    /// We close, with a code and a reason.
    Close(u16, &'static str),
}

/// What came in.
enum Received {
    Message(Result<Envelope, Unreadable>),
    End(End),
}

/// Reads on until a join or resume succeeds.
async fn open(signaling: &Signaling, caller: Caller, socket: &mut WebSocket) -> Result<Opened, End> {
    let opened = tokio::time::timeout(FIRST_MESSAGE, ask(signaling, &caller, socket)).await;
    opened.unwrap_or(Err(End::Close(4408, "no join or resume in time")))
}

async fn ask(signaling: &Signaling, caller: &Caller, socket: &mut WebSocket) -> Result<Opened, End> {
    loop {
        let Some(message) = socket.recv().await else { return Err(End::Gone) };
        let (seq, asked) = match read(signaling, message) {
            Received::End(end) => {
                if let End::Close(1007, _) = end {
                    say(signaling, socket, &Refusal::bad_request("a message is JSON in UTF-8"), None).await;
                }
                return Err(end);
            }
            Received::Message(Ok(Envelope { seq, message })) => {
                (seq, first_message(signaling, caller, message, None).await)
            }
            Received::Message(Err(Unreadable { seq, refusal })) => (seq, Err(refusal)),
        };
        match asked {
            Ok(opened) => return Ok(opened),
            Err(refusal) => {
                say(signaling, socket, &refusal, seq).await;
                if let Some(code) = refusal.code.close_code() {
                    return Err(End::Close(code, refusal.code.as_str()));
                }
            }
        }
    }
}

async fn say(signaling: &Signaling, socket: &mut WebSocket, refusal: &Refusal, seq: Option<u64>) {
    socket.push_text(signaling.codec().encode_reply(&Reply::error(refusal, seq)).json);
    // If nobody is there any more, the next read says so.
    let _ = socket.flush().await;
}

fn read(signaling: &Signaling, message: Result<Incoming, Fault>) -> Received {
    match message {
        Ok(Incoming::Text(text)) => Received::Message(signaling.codec().decode(text.as_bytes())),
        Ok(Incoming::Close(code)) => Received::End(End::Left(code)),
        // Pings and pongs have been dealt with.
        Ok(Incoming::Binary | Incoming::Ping(_) | Incoming::Pong) => {
            let refusal = Refusal::bad_request("messages are text");
            Received::Message(Err(Unreadable { seq: None, refusal }))
        }
        Err(Fault::TooLarge) => Received::End(End::Close(4413, Code::TooLarge.as_str())),
        Err(Fault::Encoding) => Received::End(End::Close(1007, "not UTF-8")),
        Err(Fault::Protocol) => Received::End(End::Close(1002, "not the WebSocket protocol")),
    }
}

/// A connection with a session.
struct Connection<'a> {
    signaling: &'a Signaling,
    socket: &'a mut WebSocket,
    opened: Opened,
}

impl Connection<'_> {
    async fn run(&mut self) -> End {
        let mut batch = Batch::new();
        loop {
            tokio::select! {
                biased;
                next = self.opened.inbox.next(&mut batch) => {
                    if let Err(end) = self.write(&mut batch, next).await {
                        return end;
                    }
                    batch.shrink_to(4);
                }
                received = self.socket.recv() => {
                    let Some(received) = received else { return End::Gone };
                    match read(self.signaling, received) {
                        Received::End(end) => return self.last_error(end).await,
                        Received::Message(message) => {
                            if let Err(end) = self.take(message).await {
                                return end;
                            }
                        }
                    }
                }
            }
        }
    }

    async fn take(&mut self, message: Result<Envelope, Unreadable>) -> Result<(), End> {
        if let Err(Unreadable { seq, refusal }) = &message
            && let Some(code) = refusal.code.close_code()
        {
            say(self.signaling, self.socket, refusal, *seq).await;
            return Err(End::Close(code, refusal.code.as_str()));
        }
        let sent = self.signaling.hub().receive(&self.opened, message, None::<RequestId>).await;
        sent.map_err(|_| End::Close(4503, Code::Overloaded.as_str()))
    }

    /// Says what was wrong, where the other side can still read it.
    async fn last_error(&mut self, end: End) -> End {
        let refusal = match end {
            End::Close(4413, _) => self.signaling.limits().too_large(),
            End::Close(1007, _) => Refusal::bad_request("a message is JSON in UTF-8"),
            other => return other,
        };
        say(self.signaling, self.socket, &refusal, None).await;
        end
    }

    /// Writes a batch out. Whoever does not read holds it up; the shard's patience then ends the wait.
    async fn write(&mut self, batch: &mut Batch, next: Next) -> Result<(), End> {
        let socket = &mut *self.socket;
        lay_out(socket, batch);
        let writing = async { socket.flush().await.map_err(|_| End::Gone) };
        match next {
            Next::Frames => {
                tokio::select! {
                    biased;
                    written = writing => written?,
                    reason = self.opened.inbox.closed() => {
                        // What came meanwhile: the answer to a `leave`, or why it is the end.
                        self.opened.inbox.next(batch).await;
                        lay_out(self.socket, batch);
                        return Err(closing(self.signaling, self.socket, reason));
                    }
                }
                if self.opened.inbox.was_full() {
                    self.signaling.hub().writable(&self.opened.seat, self.opened.connection);
                }
                Ok(())
            }
            Next::Close(reason) => {
                tokio::time::timeout(FAREWELL, writing).await.unwrap_or(Err(End::Gone))?;
                Err(closing(self.signaling, self.socket, reason))
            }
        }
    }
}

fn lay_out(socket: &mut WebSocket, batch: &mut Batch) {
    for (frame, _) in batch.drain(..) {
        socket.push(b"", frame, b"");
    }
}

/// The last event and the close code that go with a reason.
fn closing(signaling: &Signaling, socket: &mut WebSocket, reason: CloseReason) -> End {
    match reason {
        CloseReason::Ended => End::Close(1000, "over"),
        CloseReason::Replaced => {
            let refusal = Refusal::new(Code::SessionReplaced, "another connection took the session over");
            socket.push_text(signaling.codec().encode_reply(&Reply::error(&refusal, None)).json);
            End::Close(4409, Code::SessionReplaced.as_str())
        }
        CloseReason::SlowReader => End::Close(CLOSE_SLOW_READER, "too slow a reader"),
        CloseReason::Silent => End::Close(CLOSE_SLOW_READER, "silent for too long"),
        CloseReason::GoingAway => End::Close(1001, "going away"),
    }
}
