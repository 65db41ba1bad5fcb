//! Engine.IO over HTTP requests: the client's packets come in POSTs, and the server's go into the answer to a GET that
//! waits for them.

#![allow(clippy::disallowed_methods, reason = "tests pause the time of tokio, by which this waits")]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::PACKET_BYTES;
use crate::duplex::End;
use crate::websocket::{Incoming, WebSocket};

/// The separator between the packets of a payload.
const SEPARATOR: char = '\u{1e}';
/// The most simultaneous requests of one client; an honest client has two.
const REQUESTS: usize = 4;
/// The most clients that may poll at a time.
const SESSIONS: usize = 65_536;
/// If this many bytes of answers wait to be fetched, no more of the client's packets are taken.
const UNFETCHED: usize = 64 * 1024;
/// How long a client is still answered after the close. Not every client closes its side.
const LINGER: Duration = Duration::from_secs(1);
/// The no-op packet.
const NOOP: &str = "6";
/// The packet that closes an Engine.IO connection.
const CLOSE: &str = "1";

/// The client is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// A request from a polling client.
pub(super) enum ClientRequest {
    /// Fetches packets.
    Poll(oneshot::Sender<String>),
    /// Brings packets. It is answered once they are taken.
    Post(String, oneshot::Sender<()>),
    /// Whether the client is about to upgrade to a WebSocket, so that no poll may keep it waiting.
    Probe(bool),
    /// The client has upgraded.
    Upgrade(Box<WebSocket>),
}

/// The polling clients by id.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: Mutex<HashMap<String, mpsc::Sender<ClientRequest>>>,
    /// Counts them, also for those who wait for their end.
    count: TaskTracker,
}

impl Sessions {
    pub(super) fn counted_by(count: TaskTracker) -> Self {
        Self { count, ..Self::default() }
    }

    /// Begins a session, unless there are too many or the id is taken.
    pub(super) fn open(self: &Arc<Self>, id: String) -> Option<Polling> {
        let (client, requests) = mpsc::channel(REQUESTS);
        let mut by_id = self.lock();
        if by_id.len() >= SESSIONS {
            return None;
        }
        let Entry::Vacant(place) = by_id.entry(id.clone()) else { return None };
        place.insert(client);
        Some(Polling {
            requests,
            posted: None,
            poll: None,
            out: String::new(),
            is_probing: false,
            has_fetched: false,
            is_closed: false,
            _place: Place { sessions: Arc::clone(self), id, _counted: self.count.token() },
        })
    }

    /// A client, by the channel for its requests.
    pub(super) fn client(&self, id: &str) -> Option<mpsc::Sender<ClientRequest>> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<ClientRequest>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place among the polling clients.
struct Place {
    sessions: Arc<Sessions>,
    id: String,
    _counted: TaskTrackerToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
    }
}

/// A polling client, for the task that serves it.
pub(super) struct Polling {
    requests: mpsc::Receiver<ClientRequest>,
    posted: Option<Posted>,
    /// The waiting GET.
    poll: Option<oneshot::Sender<String>>,
    /// Packets for the next GET.
    out: String,
    /// Whether the client is about to upgrade to a WebSocket. It then fetches nothing, and continues only once its POST
    /// is answered, so queued packets must not hold anything up.
    is_probing: bool,
    /// Whether the client has ever fetched anything.
    has_fetched: bool,
    /// Whether the client has closed.
    is_closed: bool,
    _place: Place,
}

/// The packets of a POST.
struct Posted {
    payload: String,
    /// The number of bytes taken so far.
    taken: usize,
    answer: oneshot::Sender<()>,
}

/// The outcome of an operation on a polling client.
pub(super) enum Step<T> {
    Done(T),
    /// The client has upgraded to this WebSocket, and so must the server.
    Upgrade(Box<WebSocket>),
}

impl Polling {
    /// Queues a packet, given in parts.
    pub(super) fn push(&mut self, parts: &[&str]) {
        if !self.out.is_empty() {
            self.out.push(SEPARATOR);
        }
        self.out.extend(parts.iter().copied());
    }

    /// The next packet.
    pub(super) async fn recv(&mut self) -> Result<Step<Incoming>, Gone> {
        loop {
            // A payload may contain a million packets that ask for nothing.
            tokio::task::coop::consume_budget().await;
            self.answer()?;
            // A client cannot avoid fetching the answers by sending on and on.
            let most = if self.is_probing { PACKET_BYTES } else { UNFETCHED };
            if self.out.len() < most
                && let Some(packet) = self.take_packet()
            {
                return Ok(Step::Done(packet));
            }
            if let Some(socket) = self.next_request().await? {
                return Ok(Step::Upgrade(socket));
            }
        }
    }

    /// Waits until every queued packet has been fetched, or may go over the WebSocket.
    pub(super) async fn flush(&mut self) -> Result<Step<()>, Gone> {
        loop {
            self.answer()?;
            if self.out.is_empty() || (self.is_probing && self.out.len() < PACKET_BYTES) {
                return Ok(Step::Done(()));
            }
            if let Some(socket) = self.next_request().await? {
                return Ok(Step::Upgrade(socket));
            }
        }
    }

    /// The packets that have not been sent, in order.
    pub(super) fn left(&mut self) -> Vec<String> {
        let out = std::mem::take(&mut self.out);
        out.split(SEPARATOR).filter(|packet| !packet.is_empty()).map(str::to_owned).collect()
    }

    /// Sends every queued packet, closes, and answers the client until it has closed too. Its packets are ignored from
    /// then on.
    pub(super) async fn close(&mut self) -> Result<Step<()>, Gone> {
        let mut until = None;
        loop {
            while self.take_packet().is_some() {}
            self.answer()?;
            // Alone, since clients ignore packets that come together with this one.
            if self.out.is_empty()
                && let Some(poll) = self.poll.take()
            {
                // A client that is gone does not receive it.
                let _ = poll.send(CLOSE.to_owned());
                until.get_or_insert_with(|| Instant::now() + LINGER);
            }
            if self.is_closed {
                return Ok(Step::Done(()));
            }
            // A client that has never fetched anything is not waited for.
            if !self.has_fetched {
                return Err(Gone);
            }
            let request = match until {
                Some(until) => timeout_at(until, self.next_request()).await.map_err(|_| Gone)?,
                None => self.next_request().await,
            };
            if let Some(socket) = request? {
                return Ok(Step::Upgrade(socket));
            }
        }
    }

    /// Waits for the next request of the client.
    async fn next_request(&mut self) -> Result<Option<Box<WebSocket>>, Gone> {
        let request = match &mut self.poll {
            None => self.requests.recv().await,
            Some(poll) => tokio::select! {
                biased;
                request = self.requests.recv() => request,
                // The waiting connection is gone, and so is the client: it would have asked again for what it missed.
                () = poll.closed() => return Err(Gone),
            },
        };
        match request.ok_or(Gone)? {
            ClientRequest::Poll(poll) => {
                self.has_fetched = true;
                if let Some(former) = self.poll.replace(poll) {
                    let _ = former.send(NOOP.to_owned());
                }
            }
            // One POST at a time, or the order is undefined; and none whose client no longer waits for the answer.
            ClientRequest::Post(_, answer) if self.posted.is_some() || answer.is_closed() => {}
            ClientRequest::Post(payload, answer) => self.posted = Some(Posted { payload, taken: 0, answer }),
            ClientRequest::Probe(is_probing) => self.is_probing = is_probing,
            ClientRequest::Upgrade(socket) => return Ok(Some(socket)),
        }
        Ok(None)
    }

    /// Gives the waiting GET the queued packets.
    fn answer(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() && !self.is_probing {
            return Ok(());
        }
        let Some(poll) = self.poll.take() else { return Ok(()) };
        let packets = std::mem::take(&mut self.out);
        poll.send(if packets.is_empty() { NOOP.to_owned() } else { packets }).map_err(|_| Gone)
    }

    fn take_packet(&mut self) -> Option<Incoming> {
        let posted = self.posted.as_mut()?;
        let rest = posted.payload.get(posted.taken..).unwrap_or_default();
        let (packet, rest) = rest.split_once(SEPARATOR).unwrap_or((rest, ""));
        self.is_closed |= packet == CLOSE;
        // Attachments come in base64 and are not decoded.
        let packet =
            if packet.starts_with('b') { Incoming::Binary } else { Incoming::Text(packet.to_owned()) };
        posted.taken = posted.payload.len() - rest.len();
        if rest.is_empty()
            && let Some(posted) = self.posted.take()
        {
            // A client that is gone does not receive it.
            let _ = posted.answer.send(());
        }
        Some(packet)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "test code")]
mod tests {
    use std::task::Poll;

    use super::*;

    fn text(packet: &str) -> Incoming {
        Incoming::Text(packet.to_owned())
    }

    async fn recv(polling: &mut Polling) -> Incoming {
        match polling.recv().await {
            Ok(Step::Done(packet)) => packet,
            _ => panic!("no packet"),
        }
    }

    #[tokio::test]
    async fn packets_come_one_by_one_and_their_request_is_answered_when_all_are_taken() {
        let sessions = Arc::<Sessions>::default();
        let mut polling = sessions.open("a".to_owned()).unwrap();
        let client = sessions.client("a").unwrap();
        let (answer, mut answered) = oneshot::channel();
        client.try_send(ClientRequest::Post("42[1]\u{1e}bAAAA\u{1e}3".to_owned(), answer)).ok().unwrap();
        assert_eq!(recv(&mut polling).await, text("42[1]"));
        // A second request in the meantime is refused.
        let (answer, refused) = oneshot::channel();
        client.try_send(ClientRequest::Post("42[2]".to_owned(), answer)).ok().unwrap();
        polling.push(&["0"]);
        let (poll, packets) = oneshot::channel();
        client.try_send(ClientRequest::Poll(poll)).ok().unwrap();
        assert!(matches!(polling.flush().await, Ok(Step::Done(()))));
        assert_eq!(packets.await.unwrap(), "0");
        assert!(refused.await.is_err());
        assert_eq!(recv(&mut polling).await, Incoming::Binary);
        assert!(answered.try_recv().is_err());
        assert_eq!(recv(&mut polling).await, text("3"));
        assert!(answered.try_recv().is_ok());
        drop(polling);
        assert!(sessions.client("a").is_none());
    }

    #[tokio::test]
    async fn what_is_laid_out_waits_for_a_request_and_goes_in_order() {
        let sessions = Arc::<Sessions>::default();
        let mut polling = sessions.open("a".to_owned()).unwrap();
        assert!(sessions.open("a".to_owned()).is_none());
        let client = sessions.client("a").unwrap();
        polling.push(&["2"]);
        polling.push(&["42", "[1]", ""]);
        let (first, packets) = oneshot::channel();
        let polling_twice = async {
            tokio::task::yield_now().await;
            client.send(ClientRequest::Poll(first)).await.ok().unwrap();
            packets.await.unwrap()
        };
        let (flushed, packets) = tokio::join!(polling.flush(), polling_twice);
        assert!(matches!(flushed, Ok(Step::Done(()))));
        assert_eq!(packets, "2\u{1e}42[1]");
        // Of two waiting polls, the former gets nothing, and a client that is about to upgrade is not kept waiting.
        let ((former, formers), (newer, newers)) = (oneshot::channel(), oneshot::channel());
        for request in [ClientRequest::Poll(former), ClientRequest::Poll(newer), ClientRequest::Probe(true)] {
            client.send(request).await.ok().unwrap();
        }
        let (answer, _answered) = oneshot::channel();
        client.send(ClientRequest::Post("3".to_owned(), answer)).await.ok().unwrap();
        assert_eq!(recv(&mut polling).await, text("3"));
        assert_eq!((formers.await.unwrap(), newers.await.unwrap()), (NOOP.to_owned(), NOOP.to_owned()));
        // Packets that are queued then wait for the upgrade, and hold nothing up.
        polling.push(&["41"]);
        polling.push(&["42[2]"]);
        assert!(matches!(polling.flush().await, Ok(Step::Done(()))));
        assert_eq!(polling.left(), ["41", "42[2]"]);
        assert_eq!(polling.left(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn who_fetches_nothing_is_not_heard_any_more() {
        let sessions = Arc::<Sessions>::default();
        let mut polling = sessions.open("a".to_owned()).unwrap();
        let client = sessions.client("a").unwrap();
        let (answer, mut answered) = oneshot::channel();
        client.send(ClientRequest::Post("2\u{1e}".repeat(2 * UNFETCHED), answer)).await.ok().unwrap();
        let mut heard = 0;
        while let Some(Ok(Step::Done(_))) = poll_once(tokio::task::coop::unconstrained(polling.recv())).await
        {
            heard += 1;
            polling.push(&["3"]);
        }
        assert_eq!(heard, UNFETCHED / 2 + 1);
        assert!(answered.try_recv().is_err());
        let (poll, packets) = oneshot::channel();
        client.send(ClientRequest::Poll(poll)).await.ok().unwrap();
        assert_eq!(recv(&mut polling).await, text("2"));
        assert_eq!(packets.await.unwrap().len(), 2 * heard - 1);
    }

    /// The result of a future that needs no other event, if it is ready.
    async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            Poll::Ready(match future.as_mut().poll(cx) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn whoever_hangs_up_while_waiting_is_gone() {
        let sessions = Arc::<Sessions>::default();
        let mut polling = sessions.open("a".to_owned()).unwrap();
        let (poll, packets) = oneshot::channel();
        sessions.client("a").unwrap().send(ClientRequest::Poll(poll)).await.ok().unwrap();
        let hanging_up = async {
            tokio::task::yield_now().await;
            drop(packets);
        };
        let (received, ()) = tokio::join!(polling.recv(), hanging_up);
        assert!(received.is_err());
    }
}
