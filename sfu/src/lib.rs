//! A selective forwarding unit with its own packet path.
//!
//! A publisher's packet is decrypted once and stored in a ring shared by all of its subscribers. It is then rewritten
//! and encrypted once per subscriber, into one contiguous buffer that the driver sends with as few system calls as
//! possible. SDP, ICE-lite and DTLS are handled outside the packet path.
//!
//! Most programs need only the [`driver`]: bind a [`MediaSocket`](driver::MediaSocket), make a [`Config`] with its address,
//! [`open`](driver::open) the server, run each worker that it returns on a thread of its own, and control it by the
//! [`Handle`], which implements the traits through which `signaling-core` uses media. Events go to the worker's callback.
//! The example `sfu-alone` is such a program, with a signaling of its own.
//!
//! # The run loop
//!
//! A [`Shard`] is a state machine. Its inputs are datagrams, [`Input`]s, messages from other shards and the time; its
//! outputs are datagrams, messages and events. [`driver`] runs one shard per core on a real socket and provides the
//! [`Handle`] for other threads. The following example drives a single shard by hand:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//! use signaling_core::message::Role;
//! use signaling_core::testing::SeededEntropy;
//! use signaling_core::{HttpOffer, HttpSession, MediaDemand, PeerId, RoomId};
//! use sfu::testing::{Client, ClientKind};
//! use sfu::dtls::Identity;
//! use sfu::{Config, Input, Path, Shard};
//!
//! let now = Instant::now(); // a driver reads its clock
//! let server = "192.0.2.1:3478".parse().unwrap();
//! let config = Config::new(vec![server], [7; 32]); // a server takes a random seed
//! let mut shard = Shard::new(0, Arc::new(config), Identity::generate().unwrap(), now);
//!
//! // A WHIP client comes: its peer joins the room, and its offer is answered.
//! let identity = Identity::generate().unwrap();
//! let mut client = Client::new(ClientKind::Publisher, "192.0.2.7:5000".parse().unwrap(), identity, 1, now);
//! let room: RoomId = "standup".parse().unwrap();
//! let peer = PeerId::random(&mut SeededEntropy::new(1));
//! let demand = MediaDemand::Join { peer, role: Role::Broadcaster };
//! shard.handle_input(now, Input::Demand { room: room.clone(), demand });
//! let (reply, answer) = std::sync::mpsc::sync_channel(1);
//! let offer = HttpOffer { room, peer, session: HttpSession::Publish, sdp: client.offer(), via: None };
//! let reply = Box::new(move |result| reply.send(result).unwrap());
//! shard.handle_input(now, Input::Offer { offer, reply });
//! client.accept_answer(now, &answer.recv().unwrap().unwrap().sdp).unwrap();
//!
//! // Datagrams in, datagrams out, until media can flow.
//! while !client.is_connected() {
//!     client.handle_timeout(now);
//!     while let Some((_, mut datagram)) = client.poll_transmit() {
//!         shard.handle_datagram(now, Path::to(client.address), &mut datagram);
//!     }
//!     while let Some(transmits) = shard.poll_transmit(now) {
//!         for (path, datagram) in transmits.iter() {
//!             assert_eq!(path.remote, client.address);
//!             client.handle_datagram(now, &mut datagram.to_vec());
//!         }
//!     }
//! }
//! assert!(shard.poll_timeout().is_some()); // reports, feedback, consent
//! ```

#![forbid(unsafe_code)]

mod allocate;
mod arrivals;
pub mod codec;
mod config;
pub mod demux;
pub mod driver;
pub mod dtls;
mod error;
mod http;
pub mod ice;
mod keyframe;
mod keys;
mod layer;
mod loudness;
mod metrics;
mod milestone;
mod path;
mod publication;
mod rate;
mod receive;
mod rewrite;
mod ring;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod sender;
mod shard;
pub mod srtp;
mod subscription;
mod tap;
pub mod testing;
mod time;
mod transport;
mod wire;

pub use config::Config;
pub use driver::{Handle, Relay};
pub use error::SfuError;
pub use keys::StreamKey;
pub use metrics::Metrics;
pub use milestone::{Milestone, MilestoneObserver, Step};
pub use path::{Carrier, MAX_DATAGRAM, Path};
pub use shard::{Input, Message, NegotiationError, Reply, Shard, Transmits};
pub use tap::{Rotation, Tap, TapEvent, TapPacket, TapReport, TapTrack};
