//! The mailbox between a shard and a connection: a few frames, and the reason for the close.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use signaling_core::{CloseReason, Frame, Offer, Outbound, RequestId};

/// The most frames between a shard and a connection. Further frames stay in the room's log, except before a final close.
const FRAMES: usize = 32;
/// The capacity that an empty mailbox keeps.
const KEPT: usize = 4;

/// A frame, and the request that it answers.
pub(crate) type Delivery = (Arc<Frame>, Option<RequestId>);

/// Frames that a connection takes together.
pub(crate) type Batch = VecDeque<Delivery>;

/// What both ends use. Most connections are idle most of the time, so an empty mailbox is small.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frames: Batch,
    /// Why the shard closes the connection.
    close: Option<CloseReason>,
    /// The shard has held frames back.
    refused: bool,
    /// The close follows, so that no frame is held back.
    is_last: bool,
    /// The connection is gone.
    left: bool,
    /// Wakes the connection while it waits.
    waker: Option<Waker>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The connection's end: what to send, and when to close.
pub(crate) struct Inbox {
    queue: Arc<Queue>,
}

struct Mailbox {
    queue: Arc<Queue>,
}

/// Both ends of a mailbox.
pub(crate) fn mailbox() -> (Box<dyn Outbound>, Inbox) {
    let queue = Arc::<Queue>::default();
    (Box::new(Mailbox { queue: Arc::clone(&queue) }), Inbox { queue })
}

impl Outbound for Mailbox {
    fn offer(&mut self, frame: &Arc<Frame>, answers: Option<RequestId>) -> Offer {
        let mut state = self.queue.lock();
        if state.left {
            return Offer::Gone;
        }
        if state.frames.len() >= FRAMES && !state.is_last {
            state.refused = true;
            return Offer::Full;
        }
        state.frames.push_back((Arc::clone(frame), answers));
        Queue::wake(state);
        Offer::Taken
    }

    fn take_all(&mut self) {
        self.queue.lock().is_last = true;
    }

    fn close(&mut self, reason: CloseReason) {
        let mut state = self.queue.lock();
        state.close.get_or_insert(reason);
        Queue::wake(state);
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // Has no effect if a reason was given before; otherwise the shard itself has stopped.
        self.close(CloseReason::GoingAway);
    }
}

/// The next step of a connection.
pub(crate) enum Next {
    /// Send the batch.
    Frames,
    /// Send the batch, then close.
    Close(CloseReason),
}

impl Inbox {
    /// Waits for frames or the close, and moves all frames into `batch`.
    pub(crate) async fn next(&mut self, batch: &mut Batch) -> Next {
        poll_fn(|cx| self.poll_next(cx, batch)).await
    }

    /// As [`Self::next`], for callers that poll.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<Next> {
        let mut state = self.queue.lock();
        let has_frames = !state.frames.is_empty();
        if has_frames {
            if batch.is_empty() {
                // The mailbox gets the empty storage of the last batch.
                std::mem::swap(&mut state.frames, batch);
            } else {
                batch.append(&mut state.frames);
            }
            state.frames.shrink_to(KEPT);
        }
        match state.close {
            Some(reason) => Poll::Ready(Next::Close(reason)),
            None if has_frames => Poll::Ready(Next::Frames),
            None => {
                wait(&mut state, cx);
                Poll::Pending
            }
        }
    }

    /// Waits only for the close, while a write is in progress. Frames that came before it remain for [`Self::next`].
    pub(crate) async fn closed(&mut self) -> CloseReason {
        poll_fn(|cx| {
            let mut state = self.queue.lock();
            if let Some(reason) = state.close {
                return Poll::Ready(reason);
            }
            wait(&mut state, cx);
            Poll::Pending
        })
        .await
    }

    /// Whether the shard has held frames back since the last call, and waits to hear that there is room.
    pub(crate) fn was_full(&self) -> bool {
        std::mem::take(&mut self.queue.lock().refused)
    }
}

fn wait(state: &mut State, cx: &Context<'_>) {
    match &mut state.waker {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.left = true;
        state.frames = VecDeque::new();
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
        let mut batch = Batch::new();
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
        let mut batch = Batch::new();
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
