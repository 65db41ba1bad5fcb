//! How often something may happen, by sender.
//!
//! A [`Rate`] is what is allowed, a [`Bucket`] is what one sender has used of it, and [`Buckets`] keeps a bounded number of
//! buckets by key. Addresses are counted by their [`network`]. The time is an argument, of any type that is a [`Moment`]:
//! nothing here reads a clock.
//!
//! ```
//! use std::net::IpAddr;
//! use std::time::{Duration, Instant};
//! use rate_limit::{Buckets, Rate, network};
//!
//! let guesses = Buckets::new(Rate::every(Duration::from_secs(6), 2), 10_000);
//! let sender: IpAddr = "2001:db8::1".parse()?;
//! # #[allow(clippy::disallowed_methods)]
//! let now = Instant::now();
//! assert!(guesses.take(now, network(sender)).is_ok());
//! assert!(guesses.take(now, network(sender)).is_ok());
//! assert_eq!(guesses.take(now, network(sender)), Err(Duration::from_secs(6)));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

#![forbid(unsafe_code)]

mod bucket;
mod buckets;
mod network;

pub use bucket::{Bucket, Moment, Rate};
pub use buckets::Buckets;
pub use network::network;
