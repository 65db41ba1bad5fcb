//! Load generators, for two programs: `bench` compares with other servers in one run, and `visavis-load` finds what a
//! server that is reached by its URL carries ([`capacity`]).

#![forbid(unsafe_code)]

pub mod capacity;
mod congestion;
mod median;
mod process;
mod sfu;
mod signaling;
mod turn;

use clap::{Parser, Subcommand};

/// Load generators, and comparisons with other servers in one run.
#[derive(Parser)]
#[command(name = "bench", about)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The relay: ours, coturn and a bare loop, on the same packets.
    Turn(turn::Arguments),
    /// The media server: ours, Janus, and sealing and sending alone, for the same media.
    Sfu(sfu::Arguments),
    /// The media server with and without a recorder, for the same room.
    Recording(sfu::recording::Arguments),
    /// The cases of RFC 8867 on a simulated link, with the estimator of the media server and without it.
    Congestion(congestion::Arguments),
    /// A large room of a server, whose people come and go: at the end everybody has everybody.
    Crowd(capacity::crowd::Arguments),
    /// Signaling: each of our transports, the official Socket.IO server on Node, and a bare broadcast.
    Signaling(signaling::Arguments),
}

/// Runs the comparison that the command line names.
pub fn compare() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Turn(arguments) => turn::run(&arguments),
        What::Sfu(arguments) => sfu::run(&arguments),
        What::Recording(arguments) => sfu::recording::run(&arguments),
        What::Congestion(arguments) => {
            congestion::run(&arguments);
            Ok(())
        }
        What::Crowd(arguments) => capacity::crowd::run(&arguments),
        What::Signaling(arguments) => signaling::run(&arguments),
    }
}
