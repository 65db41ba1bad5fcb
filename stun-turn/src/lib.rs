//! STUN and TURN server: a sans-IO state machine and thin drivers.
//!
//! RFC 8489 (STUN), RFC 8656 (TURN) and, where switched on, RFC 6062 (TCP allocations), RFC 5780 (behaviour discovery)
//! and RFC 8016 (mobility).
//!
//! Most programs need only the driver. [`Server::bind`] opens the sockets that a [`Config`] names, [`Server::handle`] gives
//! a [`Handle`] for other threads (metrics, certificates, [`drain`](Handle::drain), [`stop`](Handle::stop)),
//! [`credentials::ephemeral`] makes logins for clients, and [`Server::run`] serves until it is stopped:
//!
//! ```no_run
//! use stun_turn::{Config, Listener, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config {
//!     listeners: vec![Listener::udp("127.0.0.1:3478".parse()?)],
//!     secrets: vec!["a long secret".to_owned()],
//!     ..Config::default()
//! };
//! Server::bind(&config)?.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Shard`] is the state machine of one shard. It has no socket, no clock and no source of randomness: time comes in as an
//! argument, so a run repeats from its inputs. Its run loop:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use stun_turn::{FiveTuple, Input, Output, PathId, ServerContext, Transport, Shard};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[allow(clippy::disallowed_methods, reason = "an example stands where a driver does")]
//! let now = Instant::now();
//! let mut shard = Shard::new(ServerContext::default(), 0, now, Duration::from_secs(1_800_000_000), 7);
//!
//! // A datagram came in: a Binding request.
//! let mut message = vec![0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42];
//! message.extend([9; 12]);
//! let tuple = FiveTuple {
//!     transport: Transport::Udp,
//!     client: "192.0.2.1:5000".parse()?,
//!     server: "198.51.100.1:3478".parse()?,
//! };
//! let relayed = shard.handle_input(now, Input::Client { tuple, path: PathId(0), message: &message });
//! assert!(relayed.is_none(), "nothing to relay");
//! while let Some(output) = shard.poll_output() {
//!     match output {
//!         Output::Transmit { tuple, message, .. } => {
//!             // Send `message` to `tuple.client`.
//!             assert_eq!(message.get(..2), Some(&[0x01, 0x01][..]));
//!         }
//!         other => println!("{other:?}"),
//!     }
//! }
//! // Call `handle_timeout` then.
//! assert_eq!(shard.poll_timeout(), None);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod auth;
mod directory;
mod driver;
mod five_tuple;
mod limits;
mod policy;
mod random;
mod settings;
mod shard;
pub mod testing;
pub mod wire;

pub use auth::{Credentials, EphemeralCredentials, NonceKey, NonceState, StaticUser, credentials};
pub use directory::RelayDirectory;
pub use driver::{
    BindError, Certificate, CertificateError, ClientConnection, Config, EventLoop, Handle, Heartbeat,
    Listener, Metrics, Server,
};
pub use five_tuple::{FiveTuple, PathId, RelayId, Transport};
pub use limits::{Limits, Quotas, RateTable};
pub use policy::{AddressVerdict, PeerPolicy};
pub use settings::{BehaviourDiscovery, ExternalAddress, Features, RelayAddresses, Settings};
pub use shard::{
    ConnectionId, Counters, Input, OpenError, OpenedRelay, OpenedRelays, OpeningId, Output, PeerSocketId,
    RelayPeer, RelayWanted, Relayed, ServerContext, Shard,
};
pub use wire::{AddressFamily, IntegrityAlgorithm, Key, PasswordAlgorithm};
