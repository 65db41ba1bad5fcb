//! Rooms, peers, sessions, messages and calls as deterministic state machines without I/O.
//!
//! The core of Visavis reads no clock, opens no socket and starts no thread. Its embedder passes in the time and the
//! input from the network, and carries out the effects. A thousand rooms in virtual time are therefore a unit test, and
//! another node can take over a room.
//!
//! A client joins a room and says hello, and every frame for its connection is printed:
//!
//! ```
//! # use signaling_core::{ConnectionId, Environment, Frame, Grant, JsonCodec, NewConnection, Offer, ServerKey, Shard};
//! # use signaling_core::Timestamp;
//! let now = Timestamp::from_millis(1_790_000_000_000);
//! let mut shard = Shard::new(Environment::new(ServerKey::new([7; 32])), now, Vec::new());
//! let print = |frame: &std::sync::Arc<Frame>| { println!("{}", frame.text()); Offer::Taken };
//! let connection = NewConnection { id: ConnectionId(1), outbound: Box::new(print) };
//! let join = serde_json::from_str(r#"{"room":"standup","name":"Ada"}"#)?;
//! let anybody = Grant { may_create: true, ..Grant::default() };
//! let (ada, _welcome) = shard.join(now, &join, &anybody, Some((connection, None)))?;
//! shard.receive(now, &ada, None, JsonCodec::default().decode(br#"{"type":"chat","text":"hello"}"#), None);
//! assert!(shard.knows(&ada));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The run loop
//!
//! A [`Shard`] owns rooms. It hands frames to connections through their [`Outbound`] halves, and names one instant at
//! which its next timer is due. Its driver passes in what happens, and the time:
//!
//! ```
//! # use signaling_core::{Environment, Grant, ServerKey, Shard, Timestamp};
//! # let mut now = Timestamp::from_millis(1_790_000_000_000);
//! # let mut shard = Shard::new(Environment::new(ServerKey::new([7; 32])), now, Vec::new());
//! # let join = serde_json::from_str(r#"{"room":"standup","name":"Ada"}"#)?;
//! # let anybody = Grant { may_create: true, ..Grant::default() };
//! # let (seat, _) = shard.join(now, &join, &anybody, None)?;
//! // The client stays silent, so in time the peer leaves the room.
//! while let Some(due) = shard.poll_timeout() {
//!     now = due; // a server waits for the instant, or for input
//!     shard.handle_timeout(now);
//! }
//! assert!(!shard.knows(&seat));
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
mod statistics;
pub mod testing;
mod text;
mod time;
mod traits;

pub use codec::{Envelope, Frame, JsonCodec, Unreadable};
pub use engine::{End, Engine, Running, Sign, Watch, Witness};
pub use entropy::{Entropy, SystemEntropy};
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
pub use statistics::{PeerStatistics, ReceivedTrack, SentTrack};
pub use text::is_blank;
pub use time::{Timestamp, Wall};
pub use traits::{
    Arranged, CloseReason, Grant, IceProvider, MediaPlane, NoIceServers, NoMedia, NoObserver, NoStore, Offer,
    Outbound, RequestId, RoomObserver, RoomStore, WallClock,
};
