//! A connection in both directions: how it gets its session, what it carries, and how it ends.
//!
//! WebSocket and Socket.IO both implement [`Duplex`], and [`serve`] runs either.

use std::sync::Arc;
use std::time::Duration;

use http_api::Caller;
use signaling_core::message::Reply;
use signaling_core::{
    ClientMessage, CloseReason, Code, Envelope, Frame, JsonCodec, Limits, Refusal, RequestId, Unreadable,
};

use crate::driver::{Batch, Next, Opened};
use crate::service::Signaling;

/// How long a connection may be without a session.
pub(crate) const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// How long the final frames may take to reach a client that reads slowly.
pub(crate) const FAREWELL: Duration = Duration::from_secs(10);

/// Carries messages in both directions. Its futures are cancel-safe: nothing is lost if one is dropped early.
pub(crate) trait Duplex: Send {
    /// The next message. Queued frames are written in the meantime.
    fn recv(&mut self, codec: &JsonCodec) -> impl Future<Output = Result<Received, End>> + Send;

    /// Queues a frame: the answer to a request, or an event.
    fn push(&mut self, frame: Arc<Frame>, request: Option<RequestId>);

    /// Writes every queued frame.
    fn flush(&mut self) -> impl Future<Output = Result<(), End>> + Send;

    /// The refusal for bytes outside the transport's protocol, if the client can still read one.
    fn complaint(fault: Fault, limits: &Limits) -> Option<Refusal>;

    /// Writes every queued frame, and closes as `end` requires.
    fn close(&mut self, end: End) -> impl Future<Output = ()> + Send;
}

/// A received message, and the request that its answer belongs to.
pub(crate) struct Received {
    pub(crate) message: Result<Envelope, Unreadable>,
    pub(crate) request: Option<RequestId>,
}

/// Why received bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A frame or message is larger than allowed.
    TooLarge,
    /// A text is not UTF-8.
    Encoding,
    /// The bytes are not the transport's protocol.
    Protocol,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client is gone.
    Gone,
    /// The client closed; for a WebSocket, with this code.
    Left(Option<u16>),
    /// The client did not join or resume in time.
    Late,
    /// The client sent bytes that are not a message.
    Fault(Fault),
    /// The client was refused with this code, and has been told.
    Refused(Code),
    /// The shard closes the connection.
    Closed(CloseReason),
}

impl End {
    /// Whether the client must not reconnect by itself.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Gone | Self::Left(_) | Self::Late => false,
            Self::Fault(_) => true,
            Self::Refused(code) => !matches!(code, Code::Overloaded),
            Self::Closed(reason) => matches!(reason, CloseReason::Ended | CloseReason::Replaced),
        }
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve<D: Duplex>(signaling: Signaling, caller: Caller, mut duplex: D) {
    // Opening and closing need large but short-lived state, which must not enlarge every connection's task.
    let opened = Box::pin(tokio::time::timeout(FIRST_MESSAGE, open(&signaling, &caller, &mut duplex))).await;
    let end = match opened.unwrap_or(Err(End::Late)) {
        Ok(opened) => {
            let mut connection = Connection { signaling: &signaling, duplex: &mut duplex, opened };
            let end = connection.run().await;
            let Opened { seat, connection, .. } = connection.opened;
            signaling.hub().detach(&seat, connection);
            end
        }
        Err(end) => end,
    };
    let last_words = match end {
        End::Fault(fault) => D::complaint(fault, signaling.limits()),
        End::Closed(CloseReason::Replaced) => {
            Some(Refusal::new(Code::SessionReplaced, "another connection took the session over"))
        }
        _ => None,
    };
    if let Some(refusal) = last_words {
        say(&signaling, &mut duplex, &refusal, None, None);
    }
    // A client that has not taken the final frames by then does not get them.
    let _ = Box::pin(tokio::time::timeout(FAREWELL, duplex.close(end))).await;
}

/// Reads messages until a join or resume succeeds.
async fn open<D: Duplex>(signaling: &Signaling, caller: &Caller, duplex: &mut D) -> Result<Opened, End> {
    loop {
        let Received { message, request } = duplex.recv(signaling.codec()).await?;
        let (seq, asked) = match message {
            Ok(Envelope { seq, message }) => (seq, first_message(signaling, caller, message, request).await),
            Err(Unreadable { seq, refusal }) => (seq, Err(refusal)),
        };
        match asked {
            Ok(opened) => return Ok(opened),
            Err(refusal) => refuse(signaling, duplex, &refusal, seq, request)?,
        }
    }
}

/// A connection without a session may only join or resume. The welcome comes through the inbox, as the answer to
/// `request`.
async fn first_message(
    signaling: &Signaling,
    caller: &Caller,
    message: ClientMessage,
    request: Option<RequestId>,
) -> Result<Opened, Refusal> {
    match message {
        ClientMessage::Join(join) => {
            let arrived = clock::now();
            let (join, grant) = signaling.admit(caller, *join).await?;
            let has_password = join.password.is_some();
            let joining = signaling.hub().join(join, grant, request);
            let opened = signaling.guessing(caller, has_password, joining).await?;
            signaling.joined(&opened.seat, arrived);
            Ok(opened)
        }
        ClientMessage::Resume(resume) => {
            signaling.pass_gate(caller)?;
            let claims = signaling.claims(&resume)?;
            signaling.hub().resume(claims, resume.last_id, request).await
        }
        _ => Err(Refusal::new(Code::Unauthorized, "the first message is `join` or `resume`")),
    }
}

/// Answers with an error, and ends the connection if the error requires it.
fn refuse<D: Duplex>(
    signaling: &Signaling,
    duplex: &mut D,
    refusal: &Refusal,
    seq: Option<u64>,
    request: Option<RequestId>,
) -> Result<(), End> {
    say(signaling, duplex, refusal, seq, request);
    if refusal.code.close_code().is_some() { Err(End::Refused(refusal.code)) } else { Ok(()) }
}

fn say<D: Duplex>(
    signaling: &Signaling,
    duplex: &mut D,
    refusal: &Refusal,
    seq: Option<u64>,
    request: Option<RequestId>,
) {
    duplex.push(Arc::new(signaling.codec().encode_reply(&Reply::error(refusal, seq))), request);
}

/// A connection with a session.
struct Connection<'a, D> {
    signaling: &'a Signaling,
    duplex: &'a mut D,
    opened: Opened,
}

impl<D: Duplex> Connection<'_, D> {
    async fn run(&mut self) -> End {
        let mut batch = Batch::new();
        loop {
            let done = tokio::select! {
                biased;
                next = self.opened.inbox.next(&mut batch) => {
                    let written = self.write(&mut batch, next).await;
                    batch.shrink_to(4);
                    written
                }
                received = self.duplex.recv(self.signaling.codec()) => match received {
                    Ok(received) => self.take(received).await,
                    Err(end) => Err(end),
                },
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn take(&mut self, Received { message, request }: Received) -> Result<(), End> {
        if let Err(Unreadable { seq, refusal }) = &message
            && refusal.code.close_code().is_some()
        {
            return refuse(self.signaling, self.duplex, refusal, *seq, request);
        }
        match self.signaling.hub().receive(&self.opened, message, request).await {
            Ok(()) => Ok(()),
            Err(stopped) => refuse(self.signaling, self.duplex, &stopped.into(), None, None),
        }
    }

    /// Writes a batch. A client that does not read holds the write up, until the shard closes the connection.
    async fn write(&mut self, batch: &mut Batch, next: Next) -> Result<(), End> {
        self.push_all(batch);
        let reason = match next {
            Next::Frames => tokio::select! {
                biased;
                written = self.duplex.flush() => {
                    written?;
                    if self.opened.inbox.was_full() {
                        self.signaling.hub().writable(&self.opened.seat, self.opened.connection);
                    }
                    return Ok(());
                }
                reason = self.opened.inbox.closed() => {
                    // Frames that came in the meantime: the answer to a `leave`, or the reason for the close.
                    self.opened.inbox.next(batch).await;
                    self.push_all(batch);
                    reason
                }
            },
            Next::Close(reason) => reason,
        };
        // Queued frames are still written before the close.
        Err(End::Closed(reason))
    }

    fn push_all(&mut self, batch: &mut Batch) {
        for (frame, request) in batch.drain(..) {
            self.duplex.push(frame, request);
        }
    }
}
