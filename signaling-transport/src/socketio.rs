//! `/socket.io/`: the protocol's messages as Socket.IO events called `message`, in the namespace `/`. Engine.IO protocol 4,
//! Socket.IO protocol 5, over long polling, WebSocket, and from the one to the other.
//!
//! Each client has one task, whichever way its packets come: [`polling`] hands them over as a WebSocket does.

use signaling_core::{CloseReason, Code, Envelope, Refusal, Unreadable};

use self::event::Event;
use self::link::Link;
pub(crate) use self::requests::routes;
use crate::caller::Caller;
use crate::driver::{Batch, Next, Opened};
use crate::opening::{FAREWELL, FIRST_MESSAGE, first_message};
use crate::service::Signaling;

mod event;
mod link;
mod polling;
mod requests;
mod transport;

/// Attachments that one event may have. None is wanted, but that is for an answer, not for the end of the connection.
const ATTACHMENTS: usize = 10;
/// The largest packet, and the largest payload of a POST, that is read, so that it can be answered; the codec's limits are
/// lower.
const PACKET_BYTES: usize = 1024 * 1024;

/// How a connection ends.
#[derive(Debug)]
enum End {
    /// The other side is gone.
    Gone,
    /// The other side takes leave.
    Left,
    /// We let it go for good: the official client stays away until its program says otherwise.
    Close,
    /// We let it go, and it may come back: the official client does so by itself.
    Drop,
    /// We let it go and say why.
    Refuse(Refusal),
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Ended => Self::Close,
            CloseReason::Replaced => {
                Self::Refuse(Refusal::new(Code::SessionReplaced, "another connection took the session over"))
            }
            CloseReason::SlowReader | CloseReason::Silent | CloseReason::GoingAway => Self::Drop,
        }
    }
}

impl End {
    /// The end that goes with a code, if it ends the connection.
    fn after(code: Code) -> Option<Self> {
        code.close_code()?;
        Some(if code == Code::Overloaded { Self::Drop } else { Self::Close })
    }
}

async fn serve(signaling: Signaling, caller: Caller, mut link: Link) {
    // What opening and closing need is large and short-lived: it must not make every connection's task as large.
    let opened = Box::pin(tokio::time::timeout(FIRST_MESSAGE, open(&signaling, caller, &mut link))).await;
    let end = match opened {
        Ok(Ok(mut opened)) => {
            let end = run(&signaling, &mut link, &mut opened).await;
            signaling.hub().detach(&opened.seat, opened.connection);
            end
        }
        Ok(Err(end)) => end,
        // As for whoever is silent later on.
        Err(_) => End::Drop,
    };
    Box::pin(close(&signaling, &mut link, end)).await;
}

async fn close(signaling: &Signaling, link: &mut Link, end: End) {
    let is_final = match end {
        End::Gone => return,
        End::Left | End::Drop => false,
        End::Close => true,
        End::Refuse(refusal) => {
            link.say(signaling.codec(), &refusal, None, None);
            !matches!(End::after(refusal.code), Some(End::Drop))
        }
    };
    if is_final {
        link.disconnect();
    }
    // Whoever does not take the last word by then has none.
    let _ = tokio::time::timeout(FAREWELL, link.close()).await;
}

/// Reads on until a join or resume succeeds.
async fn open(signaling: &Signaling, caller: Caller, link: &mut Link) -> Result<Opened, End> {
    loop {
        let event = link.next().await?;
        let (seq, asked) = match event.read(signaling.codec()) {
            Ok(Envelope { seq, message }) => {
                (seq, first_message(signaling, &caller, message, event.request).await)
            }
            Err(Unreadable { seq, refusal }) => (seq, Err(refusal)),
        };
        match asked {
            Ok(opened) => return Ok(opened),
            Err(refusal) => link.refuse(signaling.codec(), &refusal, seq, event.request)?,
        }
    }
}

async fn run(signaling: &Signaling, link: &mut Link, opened: &mut Opened) -> End {
    let mut batch = Batch::new();
    loop {
        let done = tokio::select! {
            biased;
            next = opened.inbox.next(&mut batch) => {
                let written = write(signaling, link, opened, &mut batch, next).await;
                batch.shrink_to(4);
                written
            }
            event = link.next() => match event {
                Ok(event) => take(signaling, link, opened, &event).await,
                Err(end) => Err(end),
            },
        };
        if let Err(end) = done {
            return end;
        }
    }
}

async fn take(signaling: &Signaling, link: &mut Link, opened: &Opened, event: &Event) -> Result<(), End> {
    let message = event.read(signaling.codec());
    if let Err(Unreadable { seq, refusal }) = &message
        && refusal.code.close_code().is_some()
    {
        return link.refuse(signaling.codec(), refusal, *seq, event.request);
    }
    let sent = signaling.hub().receive(opened, message, event.request).await;
    sent.map_err(|stopped| End::Refuse(stopped.into()))
}

/// Writes a batch out. Whoever does not read holds it up; the shard's patience then ends the wait.
async fn write(
    signaling: &Signaling,
    link: &mut Link,
    opened: &mut Opened,
    batch: &mut Batch,
    next: Next,
) -> Result<(), End> {
    deliver(link, batch);
    link.ping_if_due();
    let reason = match next {
        Next::Frames => tokio::select! {
            biased;
            written = link.flush() => {
                written?;
                if opened.inbox.was_full() {
                    signaling.hub().writable(&opened.seat, opened.connection);
                }
                return Ok(());
            }
            reason = opened.inbox.closed() => {
                // What came meanwhile: the answer to a `leave`, or why it is the end.
                opened.inbox.next(batch).await;
                deliver(link, batch);
                reason
            }
        },
        Next::Close(reason) => reason,
    };
    // What was laid out is still written before the last word.
    Err(reason.into())
}

fn deliver(link: &mut Link, batch: &mut Batch) {
    for (frame, request) in batch.drain(..) {
        link.deliver(frame, request);
    }
}
