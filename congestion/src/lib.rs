//! Congestion control of a media sender: how much a path carries, found by the delay and the loss of its packets.
//!
//! [`Controller`] turns reports on packets into a target rate, and asks for probes; [`Pacer`] spreads packets. Both are
//! state machines without I/O, clock or randomness, and know nothing of RTP: whatever tells when a packet left and when
//! it arrived can feed them. [`simulator`] is their test bench.
//!
//! A sender calls [`Controller::on_sent`] for what it sends, [`Controller::probe`] for what it may send beside it, and
//! [`Controller::on_feedback`] for what its receiver reports; [`Controller::target`] is what media may take from then on.
//!
//! ```
//! use congestion::{Controller, Limits, Micros, Report};
//!
//! let mut controller = Controller::new(Limits::default());
//! let mut now = Micros(0);
//! for _ in 0..100 {
//!     // The media that the target allows, and what a probe needs beside it.
//!     let media = usize::try_from(controller.target() / 8 / 100).unwrap();
//!     controller.on_sent(media);
//!     let padding = controller.probe(now);
//!     controller.on_sent(padding);
//!     // The receiver's report on both, after a way without a queue.
//!     let bytes = u16::try_from(media + padding).unwrap();
//!     let arrived_micros = Some(i64::try_from(now.0).unwrap() + 50_000);
//!     controller.on_feedback(now, std::iter::once(Report { sent_at: now, arrived_micros, bytes }));
//!     now = now + 10_000;
//! }
//! assert!(controller.target() > Limits::default().initial);
//! ```

#![forbid(unsafe_code)]

mod controller;
mod delivery;
mod loss;
mod pacer;
mod probe;
mod queue;
mod rate;
pub mod simulator;
mod time;

pub use controller::Controller;
pub use pacer::Pacer;
pub use rate::Limits;
pub use time::Micros;

/// The feedback on one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The time of sending, on the sender's clock.
    pub sent_at: Micros,
    /// The time of arrival in microseconds, on the receiver's clock; `None` if the packet has not arrived.
    pub arrived_micros: Option<i64>,
    /// The size of the packet.
    pub bytes: u16,
}

impl Report {
    /// The time on the way, which contains the difference of the two clocks.
    fn delay(&self, arrived_micros: i64) -> i64 {
        arrived_micros.saturating_sub(i64::try_from(self.sent_at.0).unwrap_or(i64::MAX))
    }
}
