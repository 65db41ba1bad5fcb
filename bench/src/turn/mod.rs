//! CPU time per relayed packet, allocations per CPU second and memory per allocation of this relay, coturn and a bare
//! loop.
//!
//! Each server is a process pinned to one processor; the load is on another. Every figure is a median over rounds. In
//! each round, every server is measured with every number of allocations, so that other activity of the machine affects
//! all of them.

pub(crate) mod client;
mod floor;
mod load;
mod report;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use load::{Direction, Load};
use report::{Case, Report};
use server::{Kind, Running};

use crate::process::{LOAD_CPU, SERVER_CPU, pin_and_raise_limits, print};

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Numbers of allocations.
    #[arg(long, value_delimiter = ',', default_value = "64,1000,10000")]
    allocations: Vec<usize>,
    /// Bytes of payload.
    #[arg(long, value_delimiter = ',', default_value = "160,1000")]
    sizes: Vec<usize>,
    /// Packets that come at once from one client.
    #[arg(long, value_delimiter = ',', default_value = "1,2,8")]
    bursts: Vec<usize>,
    /// Packets a second of the paced runs.
    #[arg(long, value_delimiter = ',', default_value = "10000,50000")]
    rates: Vec<u32>,
    /// Milliseconds of each measurement.
    #[arg(long, default_value_t = 400)]
    millis: u64,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Which servers; coturn is left out when it is not installed.
    #[arg(long, value_delimiter = ',', default_value = "floor,visavis,coturn")]
    servers: Vec<Kind>,
    /// Append the tables to this file, too.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// The processes that the benchmark starts of itself.
#[derive(Subcommand)]
enum Role {
    /// Run this relay on a free port, which is printed.
    #[command(hide = true)]
    Serve,
    /// Run the bare loop on a free port, which is printed.
    #[command(hide = true)]
    Floor,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.role {
        Some(Role::Serve) => return server::serve(),
        Some(Role::Floor) => return floor::serve(),
        None => {}
    }
    pin_and_raise_limits(LOAD_CPU)?;
    let mut report = Report::default();
    for round in 1..=arguments.repeat {
        for &allocations in &arguments.allocations {
            for &kind in &arguments.servers {
                let Some(server) = Running::start(kind, SERVER_CPU)? else {
                    eprintln!("{kind:?} is not installed: left out");
                    continue;
                };
                eprintln!("Round {round}: {kind:?}, {allocations} allocations");
                measure(arguments, &server, allocations, &mut report)?;
            }
        }
    }
    let text = report.to_markdown();
    print(&text, arguments.output.as_deref())
}

fn measure(
    arguments: &Arguments,
    server: &Running,
    allocations: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (cpu, memory) = (server.cpu()?, server.resident_bytes()?);
    let mut load = Load::prepare(server, allocations)?;
    let spent = load.allocating.saturating_sub(cpu);
    let grown = server.resident_bytes()?.saturating_sub(memory);
    report.setup(server.kind, allocations, spent, grown);
    load.bind()?;
    load.warm_up()?;
    let time = Duration::from_millis(arguments.millis);
    for &size in &arguments.sizes {
        for &burst in &arguments.bursts {
            for direction in [Direction::ToPeer, Direction::ToClient] {
                let figures = load.saturate(server, direction, size, burst, time)?;
                report.packets(server.kind, Case { allocations, size, burst, direction }, figures);
            }
        }
    }
    if Some(&allocations) == arguments.allocations.first() {
        for &rate in &arguments.rates {
            let (figures, delays) = load.pace(server, rate, time * 2)?;
            report.paced(server.kind, rate, figures, &delays);
        }
    }
    Ok(())
}
