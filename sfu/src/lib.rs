//! Selective forwarding unit with a packet path of its own.

mod arrivals;
pub mod codec;
mod config;
mod congestion;
pub mod demux;
pub mod driver;
pub mod dtls;
mod egress;
mod error;
pub mod ice;
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
mod server;
pub mod srtp;
mod subscription;
pub mod testing;
mod transport;
mod wire;
mod worker;

pub use config::Config;
pub use egress::{Egress, MAX_DATAGRAM, Run, Transmit};
pub use error::SfuError;
pub use path::Path;
pub use server::{Overloaded, Seat, Sfu, SfuHandle};
pub use worker::{Answer, HttpSession, Input, NegotiationError, Reply, Worker};
