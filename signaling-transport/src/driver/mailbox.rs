//! Between a shard and a connection: a few frames, and the last word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signaling_core::{CloseReason, Frame, Offer, Outbound, RequestId};
use tokio::sync::{mpsc, oneshot};

/// Frames between a shard and a connection. What lies behind them stays in the room's log.
const FRAMES: usize = 32;

/// A frame, and the request that it answers.
pub(crate) type Delivery = (Arc<Frame>, Option<RequestId>);

/// The connection's end: what to send, and when to stop.
pub(crate) struct Inbox {
    frames: mpsc::Receiver<Delivery>,
    close: oneshot::Receiver<CloseReason>,
    refused: Arc<AtomicBool>,
}

struct Mailbox {
    frames: mpsc::Sender<Delivery>,
    close: Option<oneshot::Sender<CloseReason>>,
    refused: Arc<AtomicBool>,
}

/// Both ends of a mailbox.
pub(crate) fn mailbox() -> (Box<dyn Outbound>, Inbox) {
    let (frames, receiver) = mpsc::channel(FRAMES);
    let (close, closed) = oneshot::channel();
    let refused = Arc::new(AtomicBool::new(false));
    let inbox = Inbox { frames: receiver, close: closed, refused: Arc::clone(&refused) };
    (Box::new(Mailbox { frames, close: Some(close), refused }), inbox)
}

impl Outbound for Mailbox {
    fn offer(&mut self, frame: &Arc<Frame>, answers: Option<RequestId>) -> Offer {
        let offer = |delivery| match self.frames.try_send(delivery) {
            Ok(()) => Offer::Taken,
            Err(mpsc::error::TrySendError::Full(_)) => Offer::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Offer::Gone,
        };
        match offer((Arc::clone(frame), answers)) {
            Offer::Full => {
                self.refused.store(true, Ordering::SeqCst);
                // The connection may have emptied the box before it could see the flag: it would not look again.
                offer((Arc::clone(frame), answers))
            }
            other => other,
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if let Some(close) = self.close.take() {
            // Nobody listens when the connection is gone already.
            let _ = close.send(reason);
        }
    }
}

/// What a connection is to do next.
pub(crate) enum Next {
    /// Send these.
    Frames,
    /// Send these, then stop.
    Close(CloseReason),
}

impl Inbox {
    /// Waits for frames or the end, and puts all frames there are into `batch`.
    pub(crate) async fn next(&mut self, batch: &mut Vec<Delivery>) -> Next {
        tokio::select! {
            biased;
            count = self.frames.recv_many(batch, FRAMES) => {
                if count > 0 {
                    return Next::Frames;
                }
                // The shard let go of its end: it has said why, or was stopped itself.
                Next::Close((&mut self.close).await.unwrap_or(CloseReason::GoingAway))
            }
            reason = &mut self.close => {
                while let Ok(delivery) = self.frames.try_recv() {
                    batch.push(delivery);
                }
                Next::Close(reason.unwrap_or(CloseReason::GoingAway))
            }
        }
    }

    /// Waits for the end alone, while a write is in the way.
    pub(crate) async fn closed(&mut self) -> CloseReason {
        (&mut self.close).await.unwrap_or(CloseReason::GoingAway)
    }

    /// As [`Self::next`], for those who are polled.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut std::task::Context<'_>,
        batch: &mut Vec<Delivery>,
    ) -> std::task::Poll<Next> {
        let next = std::pin::pin!(self.next(batch));
        // Both branches of `next` are safe to drop between polls: nothing is taken that is not put into the batch.
        next.poll(cx)
    }

    /// Whether the shard kept frames back since the last call, and waits to hear that there is room.
    pub(crate) fn was_full(&self) -> bool {
        self.refused.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u64) -> Arc<Frame> {
        Arc::new(Frame { id: Some(id), json: id.to_string().into() })
    }

    #[tokio::test]
    async fn a_full_box_says_so_and_takes_again_once_read() {
        let (mut outbound, mut inbox) = mailbox();
        for id in 0..FRAMES as u64 {
            assert_eq!(outbound.offer(&frame(id), None), Offer::Taken);
        }
        assert_eq!(outbound.offer(&frame(99), None), Offer::Full);
        let mut batch = Vec::new();
        assert!(matches!(inbox.next(&mut batch).await, Next::Frames));
        assert_eq!(batch.len(), FRAMES);
        assert!(inbox.was_full());
        assert!(!inbox.was_full());
        assert_eq!(outbound.offer(&frame(99), None), Offer::Taken);
    }

    #[tokio::test]
    async fn the_last_word_comes_after_what_was_taken() {
        let (mut outbound, mut inbox) = mailbox();
        outbound.offer(&frame(1), None);
        outbound.close(CloseReason::Ended);
        drop(outbound);
        let mut batch = Vec::new();
        let mut last = None;
        while last.is_none() {
            if let Next::Close(reason) = inbox.next(&mut batch).await {
                last = Some(reason);
            }
        }
        assert_eq!((batch.len(), last), (1, Some(CloseReason::Ended)));
    }

    #[tokio::test]
    async fn nobody_there_is_noticed() {
        let (mut outbound, inbox) = mailbox();
        drop(inbox);
        assert_eq!(outbound.offer(&frame(1), None), Offer::Gone);
    }
}
