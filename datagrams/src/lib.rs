//! UDP in batches, and what moves datagrams between threads.
//!
//! The standard library sends and receives one datagram per system call. A server that forwards packets spends most of
//! its time in those calls, so this crate makes fewer of them: `recvmmsg` with receive offload (`UDP_GRO`) on the way in,
//! `sendmmsg` with segmentation offload (`UDP_SEGMENT`) on the way out.
//!
//! | type | what it is for |
//! | --- | --- |
//! | [`Socket`] | A UDP socket with the options that batches need; [`Socket::route`] says how a datagram leaves by it |
//! | [`Receiver`] | Buffers that one system call fills with many datagrams |
//! | [`Batch`] | Datagrams side by side in one piece of memory; equal ones to one destination form a [`Run`] |
//! | [`Sender`] | Sends runs, and falls back to single datagrams where the system cannot segment |
//! | [`Egress`] | A batch and a sender: the send queue of an event loop with many sockets |
//! | [`Mailbox`] | A bounded batch that other threads fill, and the [`Wake`] that tells its owner |
//! | [`Epoll`], [`wait_readable`] | Waiting for many sockets, and for a few |
//! | [`Pace`] | How long a busy loop waits so that one wake-up serves many datagrams |
//!
//! There is no async runtime, no thread and no clock in it: the caller's loop owns all of these, passes the time in and
//! sleeps. All `unsafe` code of the workspace is in the modules `receive`, `send` and `socket` of this crate.
//!
//! # An event loop
//!
//! A server that answers each datagram in upper case:
//!
//! ```
//! use std::time::Duration;
//! use datagrams::{Egress, Epoll, Events, Interest, Options, Receiver, Socket};
//!
//! # fn main() -> std::io::Result<()> {
//! let server = Socket::bind("127.0.0.1:0".parse().unwrap(), &Options::default())?;
//! let epoll = Epoll::new()?;
//! epoll.add(&server, 0, Interest::READ)?;
//! let (mut receiver, mut egress, mut events) = (Receiver::new(16), Egress::default(), Events::with_capacity(8));
//! # let client = Socket::bind("127.0.0.1:0".parse().unwrap(), &Options::default())?;
//! # egress.push(client.route(server.local_addr()?, None), [b"hello"]);
//! # egress.flush();
//!
//! // One turn of the loop.
//! epoll.wait(&mut events, Some(Duration::from_secs(10)))?;
//! for token in events.tokens() {
//!     assert_eq!(token, 0);
//!     for received in receiver.receive(&server)? {
//!         let (from, to) = (received.from, received.to);
//!         for datagram in received.datagrams() {
//!             datagram.make_ascii_uppercase();
//!             egress.push(server.route(from, to), [datagram]);
//!         }
//!     }
//! }
//! egress.flush();
//! # datagrams::wait_readable([client.as_fd()], Duration::from_secs(10))?;
//! # let answer = receiver.receive(&client)?.next().unwrap();
//! # assert_eq!(answer.bytes, b"HELLO");
//! # use std::os::fd::AsFd as _;
//! # Ok(())
//! # }
//! ```

mod batch;
mod control;
mod egress;
mod epoll;
mod mailbox;
mod name;
mod pace;
mod receive;
mod send;
mod socket;
mod wake;

pub use batch::{Batch, Run};
pub use egress::Egress;
pub use epoll::{Epoll, Events, Interest, wait_readable};
pub use mailbox::Mailbox;
pub use pace::{Pace, Pacing};
pub use receive::{Messages, Received, Receiver};
pub use send::Sender;
pub use socket::{Options, Route, Socket};
pub use wake::Wake;
