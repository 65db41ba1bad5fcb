//! Selective forwarding unit with a packet path of its own.
//!
//! A publisher's packet is opened once, stored in a ring that all its subscribers share, and rewritten and sealed once for
//! each of them, side by side in one slab that the driver sends with as few system calls as it can. SDP, ICE-lite and DTLS
//! stand beside that path, once per peer.
//!
//! # The run loop
//!
//! [`Sfu::new`] makes workers, one a core, and a handle; no thread and no socket. A [`Worker`] is a state machine: it
//! takes datagrams, inputs and the time, and fills its egress slab. [`driver::run`] is the loop around it for a real
//! socket; this is the same by hand:
//!
//! ```
//! use std::time::Instant;
//! use signaling_core::message::Role;
//! use signaling_core::testing::SeededEntropy;
//! use signaling_core::{MediaDemand, MediaPlane, PeerId, RoomId};
//! use sfu::testing::{Client, ClientKind};
//! use sfu::{Config, HttpSession, Path, Sfu};
//!
//! let now = Instant::now(); // a driver reads its clock
//! let server = "192.0.2.1:3478".parse().unwrap();
//! let (mut sfu, mut seats) = Sfu::new(Config::new(vec![server], [7; 32]), now).unwrap(); // a server takes a random seed
//! let seat = &mut seats[0];
//!
//! // A WHIP client comes: its peer joins the room, and its offer is answered.
//! let identity = sfu::dtls::Identity::generate().unwrap();
//! let mut client = Client::new(ClientKind::Publisher, "192.0.2.7:5000".parse().unwrap(), identity, 1, now);
//! let room: RoomId = "standup".parse().unwrap();
//! let peer = PeerId::random(&mut SeededEntropy::new(1));
//! sfu.demand(&room, MediaDemand::Join { peer, role: Role::Broadcaster });
//! let (reply, answer) = std::sync::mpsc::sync_channel(1);
//! let reply = Box::new(move |result| reply.send(result).unwrap());
//! sfu.offer(room, peer, HttpSession::Publish, client.offer(), None, reply).unwrap();
//! seat.take_inputs(now);
//! client.accept_answer(now, &answer.recv().unwrap().unwrap().sdp).unwrap();
//!
//! // Datagrams in, datagrams out, until media can flow.
//! while !client.is_connected() {
//!     client.handle_timeout(now);
//!     while let Some((_, mut datagram)) = client.poll_transmit() {
//!         seat.handle_datagram(now, Path::to(client.address), &mut datagram);
//!     }
//!     let mut is_done = false;
//!     while !is_done {
//!         is_done = seat.end_batch(now);
//!         let egress = seat.worker.egress_mut();
//!         for (path, datagram) in egress.iter() {
//!             assert_eq!(path.remote, client.address);
//!             client.handle_datagram(now, &mut datagram.to_vec());
//!         }
//!         egress.clear();
//!     }
//! }
//! assert!(seat.poll_timeout().is_some()); // reports, feedback, consent
//! ```

#![forbid(unsafe_code)]

mod arrivals;
pub mod codec;
mod config;
mod congestion;
pub mod demux;
pub mod driver;
pub mod dtls;
mod error;
mod http;
pub mod ice;
mod keyframe;
mod metrics;
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
mod transport;
mod wire;

pub use config::Config;
pub use driver::relay::Relay;
pub use driver::worker::{Overloaded, Seat, Sfu, SfuHandle};
pub use error::SfuError;
pub use metrics::Metrics;
pub use path::{Carrier, MAX_DATAGRAM, Path};
pub use shard::{Answer, HttpSession, Input, NegotiationError, Reply, Worker};
pub use tap::{Rotation, Tap, TapEvent, TapPacket, TapReport, TapTrack};
