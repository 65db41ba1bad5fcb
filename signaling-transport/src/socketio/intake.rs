//! What comes in. The library hands packets over without waiting, so they queue here, within bounds.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use signaling_core::{Envelope, MessageCodec, Refusal, RequestId, Unreadable};
use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::{DisconnectHandler, FromConnectParts, MessageHandler, Value};
use socketioxide::socket::{DisconnectReason, Socket};

/// Packets of one connection that may wait; its burst allowance is far below.
const WAITING_PACKETS: usize = 4096;
/// Their bytes: several of the largest messages.
const WAITING_BYTES: usize = 1024 * 1024;

/// The connection, as the library hands it to a handler.
pub(super) struct Handle(pub(super) Arc<Socket>);

impl FromConnectParts<LocalAdapter> for Handle {
    type Error = Infallible;

    fn from_connect_parts(socket: &Arc<Socket>, _auth: &Option<Value>) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(socket)))
    }
}

/// One event of the client's, still as text.
pub(super) struct Packet {
    content: Content,
    /// Under which number the client waits for the answer.
    pub(super) request: Option<RequestId>,
}

enum Content {
    /// The event's JSON array, its name first.
    Text(String),
    /// It had attachments.
    Binary,
}

impl Packet {
    /// An event with its JSON array.
    pub(super) fn text(text: String, request: Option<RequestId>) -> Self {
        Self { content: Content::Text(text), request }
    }

    /// An event with attachments.
    pub(super) fn binary(request: Option<RequestId>) -> Self {
        Self { content: Content::Binary, request }
    }

    fn of(value: &Value, ack: Option<i64>) -> Self {
        let content = match value {
            // A copy, because the text given lies in the connection's read buffer and would keep all of it.
            Value::Str(text, None) => Content::Text(text.as_str().into()),
            Value::Str(_, Some(_)) | Value::Bytes(_) => Content::Binary,
        };
        let request = ack.and_then(|ack| u64::try_from(ack).ok()).map(RequestId);
        Self { content, request }
    }

    fn bytes(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.len(),
            Content::Binary => 0,
        }
    }

    /// The protocol's message in it: the event's first argument.
    pub(super) fn read(&self, codec: &dyn MessageCodec) -> Result<Envelope, Unreadable> {
        let bad = |refusal| Unreadable { seq: None, refusal };
        let Content::Text(text) = &self.content else {
            return Err(bad(Refusal::bad_request("messages have no binary attachments")));
        };
        let Arguments(message) = serde_json::from_str(text)
            .map_err(|error| bad(Refusal::bad_request(format!("not understood: {error}"))))?;
        let Some(message) = message else {
            return Err(bad(Refusal::bad_request("the event's argument is a message")));
        };
        codec.decode(message.get().as_bytes())
    }
}

/// Of an event's JSON array what follows its name, if anything does.
struct Arguments<'a>(Option<&'a RawValue>);

impl<'de> Deserialize<'de> for Arguments<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Arguments<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event's name and its arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let _name: Option<IgnoredAny> = items.next_element()?;
                let message = items.next_element()?;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Arguments(message))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The client is gone, or let its end go.
    Disconnected,
    /// It sends faster than can be taken, and does not wait for answers.
    Flooded,
}

/// What both ends of the queue share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    packets: VecDeque<Packet>,
    /// Bytes of all that wait.
    bytes: usize,
    stop: Option<Stop>,
    /// The connection, while it waits.
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front();
        self.bytes -= packet.as_ref().map_or(0, Packet::bytes);
        if self.packets.is_empty() {
            self.packets = VecDeque::new();
        }
        packet
    }
}

/// The library's end of the queue.
#[derive(Clone)]
pub(super) struct Intake {
    shared: Arc<Shared>,
}

/// Not by the library's closures: each of those runs in a task of its own, and messages would overtake each other.
impl MessageHandler<LocalAdapter, Packet> for Intake {
    fn call(&self, _: Arc<Socket>, value: Value, ack: Option<i64>) {
        self.push(Packet::of(&value, ack));
    }
}

impl DisconnectHandler<LocalAdapter, Stop> for Intake {
    fn call_with_defer(&self, socket: Arc<Socket>, _: DisconnectReason, defer: fn(Arc<Socket>)) {
        self.end(Stop::Disconnected);
        defer(socket);
    }
}

/// The connection's end of the queue.
pub(super) struct Queue {
    shared: Arc<Shared>,
}

/// Says whether the connection is over.
pub(super) struct Watch {
    shared: Arc<Shared>,
}

/// Both ends.
pub(super) fn intake() -> (Intake, Queue) {
    let shared = Arc::<Shared>::default();
    (Intake { shared: Arc::clone(&shared) }, Queue { shared })
}

impl Intake {
    /// Takes a packet in, or ends the connection when too many wait already.
    pub(super) fn push(&self, packet: Packet) {
        let bytes = packet.bytes();
        let mut state = self.shared.lock();
        let is_full = state.bytes > 0 && state.bytes + bytes > WAITING_BYTES;
        if is_full || state.packets.len() >= WAITING_PACKETS {
            drop(state);
            return self.end(Stop::Flooded);
        }
        state.bytes += bytes;
        state.packets.push_back(packet);
        wake(state);
    }

    /// Ends the connection; the first reason counts.
    pub(super) fn end(&self, stop: Stop) {
        let mut state = self.shared.lock();
        state.stop.get_or_insert(stop);
        wake(state);
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Queue {
    /// The next packet, or why none comes any more. What was said before a disconnect still counts.
    pub(super) async fn next(&mut self) -> Result<Packet, Stop> {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if state.stop == Some(Stop::Flooded) {
                return Poll::Ready(Err(Stop::Flooded));
            }
            match (state.pop(), state.stop) {
                (Some(packet), _) => Poll::Ready(Ok(packet)),
                (None, Some(stop)) => Poll::Ready(Err(stop)),
                (None, None) => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A packet that came before the end.
    pub(super) fn left(&mut self) -> Option<Packet> {
        self.shared.lock().pop()
    }

    /// To look whether the connection is over.
    pub(super) fn watch(&self) -> Watch {
        Watch { shared: Arc::clone(&self.shared) }
    }
}

impl Watch {
    /// Why the connection is over, if it is.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.shared.lock().stop
    }
}

#[cfg(test)]
mod tests {
    use signaling_core::{Code, JsonCodec};

    use super::*;

    fn packet(text: &str) -> Packet {
        Packet { content: Content::Text(text.into()), request: None }
    }

    fn refused(text: &str) -> Code {
        packet(text).read(&JsonCodec::default()).unwrap_err().refusal.code
    }

    #[test]
    fn the_first_argument_is_the_message() {
        let read = packet(r#"["message",{"type":"leave","seq":3},"more"]"#).read(&JsonCodec::default());
        assert_eq!(read.unwrap().seq, Some(3));
        assert_eq!(refused(r#"["message"]"#), Code::BadRequest);
        assert_eq!(refused(r#"["message",{"type":"leave"}"#), Code::BadRequest);
        assert_eq!(refused(r#"["message","leave"]"#), Code::BadRequest);
        assert_eq!(refused(r#"["message",{"type":"dance"}]"#), Code::UnknownMessage);
        assert_eq!(
            refused(&format!("[\"message\",{}{}]", "[".repeat(1_000), "]".repeat(1_000))),
            Code::BadRequest
        );
        assert_eq!(
            refused(&format!("[\"message\",{{\"type\":\"chat\",\"text\":\"{}\"}}]", "a".repeat(70_000))),
            Code::TooLarge
        );
        let binary = Packet { content: Content::Binary, request: None };
        assert_eq!(binary.read(&JsonCodec::default()).unwrap_err().refusal.code, Code::BadRequest);
    }

    #[tokio::test]
    async fn the_queue_has_bounds_and_says_who_broke_them() {
        let (intake, mut queue) = intake();
        intake.push(packet(&"a".repeat(2 * WAITING_BYTES)));
        assert!(queue.watch().stopped().is_none(), "one packet always has room");
        assert!(queue.next().await.is_ok());
        for _ in 0..WAITING_PACKETS {
            intake.push(packet("[]"));
        }
        assert!(queue.watch().stopped().is_none());
        intake.push(packet("[]"));
        intake.end(Stop::Disconnected);
        assert_eq!(queue.next().await.err(), Some(Stop::Flooded));
    }

    #[tokio::test]
    async fn what_was_said_before_a_disconnect_counts() {
        let (intake, mut queue) = intake();
        intake.push(packet("[]"));
        intake.end(Stop::Disconnected);
        assert!(queue.next().await.is_ok());
        assert_eq!(queue.next().await.err(), Some(Stop::Disconnected));
    }

    #[tokio::test]
    async fn many_large_packets_are_a_flood() {
        let (intake, mut queue) = intake();
        for _ in 0..3 {
            intake.push(packet(&"a".repeat(WAITING_BYTES / 2)));
        }
        assert_eq!(queue.next().await.err(), Some(Stop::Flooded));
    }
}
