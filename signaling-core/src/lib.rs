//! Rooms, peers, sessions, messages and calls as deterministic state machines without I/O.
//!
//! The core of Visavis reads no clock, opens no socket and starts no thread. Its embedder passes in the time and the
//! input from the network, and carries out the effects. A thousand rooms in virtual time are therefore a unit test, and
//! another node can take over a room.
//!
//! # The run loop
//!
//! A [`Shard`] owns rooms. It hands frames to connections through their [`Outbound`] halves, and names one instant at
//! which its next timer is due.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use signaling_core::{
//!     ClientMessage, CloseReason, ConnectionId, Environment, Frame, Grant, NewConnection, Offer, Outbound, RequestId,
//!     ServerKey, Shard, Timestamp, testing::SeededEntropy,
//! };
//!
//! struct Printed(Arc<Mutex<Vec<String>>>);
//! impl Outbound for Printed {
//!     fn offer(&mut self, frame: &Arc<Frame>, _answers: Option<RequestId>) -> Offer {
//!         self.0.lock().unwrap().push(String::from_utf8_lossy(&frame.json).into_owned());
//!         Offer::Taken
//!     }
//!     fn close(&mut self, _reason: CloseReason) {}
//! }
//!
//! // A server keeps 32 random bytes as its key, and its driver reads the time from its clock.
//! let key = ServerKey::new([7; 32]);
//! let mut now = Timestamp::from_millis(1_790_000_000_000);
//! let environment = Environment::new(key, Box::new(SeededEntropy::new(1))); // or the system's random numbers
//! let codec = Arc::clone(&environment.codec);
//! let mut shard = Shard::new(environment, now, Vec::new());
//!
//! // A client connects, and sends `join`.
//! let said = Arc::new(Mutex::new(Vec::new()));
//! let connection = NewConnection {
//!     id: ConnectionId(1),
//!     outbound: Box::new(Printed(Arc::clone(&said))),
//! };
//! let envelope = codec.decode(br#"{"type":"join","room":"standup","name":"Ada"}"#).unwrap();
//! let ClientMessage::Join(join) = envelope.message else { unreachable!() };
//! let grant = Grant { may_create: true, ..Grant::default() };
//! let (seat, _welcome) = shard.join(now, &join, &grant, Some((connection, None))).unwrap();
//! assert!(said.lock().unwrap()[0].starts_with(r#"{"type":"welcome""#));
//!
//! // The client stays silent, so in time the peer leaves the room.
//! while let Some(due) = shard.poll_timeout() {
//!     now = due;
//!     shard.handle_timeout(now);
//! }
//! assert!(!shard.knows(&seat));
//! ```

#![forbid(unsafe_code)]

mod codec;
mod engine;
mod entropy;
mod environment;
mod epochs;
mod error;
mod http_media;
mod id;
mod join_token;
mod key;
mod limits;
mod live;
mod log;
mod media;
pub mod meeting;
pub mod message;
mod numbers;
mod ownership_rule;
mod peers;
pub mod room;
mod room_log;
mod room_name;
mod sealed;
mod seat;
mod sequence;
mod session;
mod shard;
pub mod testing;
mod text;
mod time;
mod traits;

pub use codec::{Envelope, Frame, JsonCodec, Unreadable};
pub use engine::{End, Engine, Running, Sign, Watch, Witness};
pub use entropy::Entropy;
pub use environment::Environment;
pub use epochs::Epochs;
pub use error::{CLOSE_SLOW_READER, Code, Reason, Refusal};
pub use http_media::{
    DtlsStep, HttpAnswer, HttpMedia, HttpOffer, HttpPatch, HttpReply, HttpSession, Patched, Reach, Reached,
    Way,
};
pub use id::{CallId, ConnectionId, LifeId, MalformedId, MeetingId, PeerId, RoomId, SessionId};
pub use join_token::{Signed, TokenDigests, TokenIdentity};
pub use key::{Digest, KeyRing, ServerKey, sha256_hex};
pub use limits::Limits;
pub use media::{MediaDemand, MediaEvent, RecordScope};
pub use message::{ClientMessage, EndReason};
pub use ownership_rule::OwnershipRule;
pub use peers::{ConnectedClient, LoggedEvent, PeerMessage, Peers};
pub use room::Rules;
pub use room_log::{
    Append, Claim, Input, KeptLog, LogEvent, LogItem, LogRecord, NoRoomLog, NodeId, Ownership, RoomLog,
    RoomSnapshot, Step,
};
pub use room_name::{MalformedRoomName, RoomName};
pub use sealed::{FileClaims, HostClaims, SessionClaims, TicketClaims};
pub use seat::Seat;
pub use session::NewConnection;
pub use shard::{Census, MadeRoom, MediaJoin, Person, RoomSummary, Shard, StreamRefusal};
pub use text::is_blank;
pub use time::{Timestamp, Wall};
pub use traits::{
    ApiKeys, Arranged, Authenticator, CloseReason, Grant, IceProvider, MediaPlane, MeetingDirectory,
    NoApiKeys, NoIceServers, NoMedia, NoMeetings, NoObserver, NoReplies, NoStore, Offer, OpenAuthenticator,
    Outbound, Repeatable, Replies, RequestId, RoomObserver, RoomStore, Scope, WallClock,
};
