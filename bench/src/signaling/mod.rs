//! Signaling: memory per session, cost and delay of a delivery, a thousand simultaneous reconnections, and stalled
//! readers. Measures `visavis` with each of its transports, the official Socket.IO server on Node, and a bare WebSocket
//! broadcast as the floor.
//!
//! Each server is a process pinned to one processor; the load is on another. Every figure is a median over repetitions.

mod bare;
mod client;
mod fleet;
mod floor;
mod memory;
mod posts;
mod report;
mod resume;
mod rooms;
mod server;
mod stalled;
pub(crate) mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use report::Report;
use server::{Kind, Running};

use crate::median::median;
use crate::process::{LOAD_CPU, pin_and_raise_limits, print};

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Which servers.
    #[arg(long, value_delimiter = ',', default_value = "floor,websocket,sse,socketio,node")]
    servers: Vec<Kind>,
    /// Which measurements.
    #[arg(long, value_delimiter = ',', default_value = "memory,rooms,resume,stalled")]
    only: Vec<Part>,
    /// Members of a room.
    #[arg(long, value_delimiter = ',', default_value = "2,10,1000")]
    rooms: Vec<usize>,
    /// Deliveries a second where the rate is steady.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Repetitions, of which the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// A tenth of the sessions and of the time, once: to see that it runs.
    #[arg(long)]
    quick: bool,
    /// The program, instead of building it.
    #[arg(long)]
    visavis: Option<PathBuf>,
    /// Append the tables to this file, too.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// The processes that the benchmark starts of itself.
#[derive(Subcommand)]
enum Role {
    /// Run the bare broadcast on a free port, which is printed.
    #[command(hide = true)]
    Floor,
    /// Run the bare loop over Socket.IO on a free port, which is printed.
    #[command(hide = true)]
    Bare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Memory,
    Rooms,
    Resume,
    Stalled,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.role {
        Some(Role::Floor) => return floor::serve(),
        Some(Role::Bare) => return bare::serve(),
        None => {}
    }
    let visavis = server::build(arguments.visavis.as_deref())?;
    if arguments.servers.contains(&Kind::Node) {
        server::install_node_packages()?;
    }
    pin_and_raise_limits(LOAD_CPU)?;
    let mut report = Report::default();
    for part in [Part::Memory, Part::Rooms, Part::Resume, Part::Stalled] {
        if arguments.only.contains(&part) {
            measure(arguments, &visavis, part, &mut report)?;
        }
    }
    print(&report.to_markdown(), arguments.output.as_deref())
}

fn measure(arguments: &Arguments, visavis: &Path, part: Part, report: &mut Report) -> anyhow::Result<()> {
    let scale = if arguments.quick { 10 } else { 1 };
    let repeat = if arguments.quick { 1 } else { arguments.repeat };
    for &kind in &arguments.servers {
        eprintln!("{part:?}: {}", kind.title());
        match part {
            Part::Memory => {
                let mut slopes = Vec::new();
                for _ in 0..repeat {
                    let server = Running::start(kind, visavis)?;
                    slopes.push(memory::measure(&server, 1_000 / scale, 5_000 / scale)?);
                }
                report.memory.push((kind, median(slopes.into_iter())));
            }
            Part::Rooms => {
                for &members in &arguments.rooms {
                    let server = Running::start(kind, visavis)?;
                    let time = Duration::from_secs(1) / u32::try_from(scale)?;
                    let plan = rooms::Plan { sessions: 1_000 / scale, time, repeat, rate: arguments.rate };
                    report.rooms.push((kind, rooms::measure(&server, members, plan)?));
                }
            }
            Part::Resume if kind.resumes() => {
                let server = Running::start(kind, visavis)?;
                report.resumes.push((kind, resume::measure(&server, 2_000 / scale)?));
            }
            Part::Resume => {}
            Part::Stalled => {
                let mut samples = Vec::new();
                for _ in 0..repeat {
                    let server = Running::start(kind, visavis)?;
                    let time = Duration::from_secs(15) / u32::try_from(scale)?;
                    let plan = stalled::Plan { sessions: 1_000 / scale, stalled: 100 / scale, time };
                    samples.push(stalled::measure(&server, plan)?);
                }
                samples.sort_by(|a, b| a.change().total_cmp(&b.change()));
                let middle = samples.len() / 2;
                report.stalled.extend(samples.into_iter().nth(middle).map(|figures| (kind, figures)));
            }
        }
    }
    Ok(())
}
