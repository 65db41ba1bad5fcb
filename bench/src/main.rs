//! Load generators, and comparisons with other servers in one run.

mod turn;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The relay: ours, coturn and a bare loop, on the same packets.
    Turn(turn::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Turn(arguments) => turn::run(&arguments),
    }
}
