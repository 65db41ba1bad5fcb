//! CPU time per forwarded packet, memory per receiver, delivery and latency of this media server, Janus, and encrypting
//! and sending alone.
//!
//! Each server is a process pinned to one processor; the clients are on another. Clients complete ICE, DTLS and SRTP
//! over loopback sockets. Each publisher sends 30 pictures a second of 17 packets of 1,100 bytes, and 50 audio packets.
//! Every figure is that of the repetition with the median CPU time.

mod floor;
mod janus;
pub(crate) mod load;
mod ours;
pub(crate) mod recording;
mod report;
pub(crate) mod shape;
pub(crate) mod signaling;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::process::{self, LOAD_CPU, Process, SERVER_CPU};
use floor::Floor;
use janus::Janus;
use load::Load;
use ours::Ours;
use report::{Figures, Row, Used};
use shape::Shape;
use signaling::Signaling;

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Rooms: `1:100` is one publisher and 100 viewers, `10x10` ten who see one another, `50*3x3` fifty rooms of three.
    #[arg(long, value_delimiter = ',', default_value = "1:10,1:100,1:500,10x10,30x30,50*3x3")]
    rooms: Vec<Shape>,
    /// Workers of this server; each number is measured.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<u16>,
    /// Which servers; Janus is left out when it is not installed.
    #[arg(long, value_delimiter = ',', default_value = "visavis,floor,janus")]
    servers: Vec<Kind>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Repetitions, of which the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// The smallest broadcast and one short repetition: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Janus is left out of rooms with more copies of each packet than this: it would only show that it is overloaded.
    #[arg(long, default_value_t = 100)]
    janus_copies: usize,
    /// Publishers send their picture in three sizes, the largest one at some 1.8 Mbit/s, and receivers are sent that one.
    #[arg(long)]
    layers: bool,
    /// Append the table to this file, too.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// The processes that the benchmark starts of itself.
#[derive(Subcommand)]
enum Role {
    /// Run this media server on a free port, which is printed.
    #[command(hide = true)]
    Serve {
        /// Record every room into this folder.
        #[arg(long)]
        record: Option<PathBuf>,
    },
    /// Seal and send, as a line of the standard input says.
    #[command(hide = true)]
    Floor,
}

/// A server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// This media server.
    Visavis,
    /// Sealing and sending alone.
    Floor,
    /// Janus's `VideoRoom`.
    Janus,
}

/// Until codecs and bandwidth estimates have settled.
const WARM_UP: Duration = Duration::from_millis(1_500);
/// Until receivers are sent the largest layer: a path is proved before more is sent on it.
const LAYERS_WARM_UP: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.role {
        Some(Role::Serve { record }) => {
            return ours::serve(arguments.workers.first().copied().unwrap_or(1), record.as_deref());
        }
        Some(Role::Floor) => return floor::serve(),
        None => {}
    }
    process::pin_and_raise_limits(LOAD_CPU)?;
    let (rooms, time, repeat) = if arguments.quick {
        (vec!["1:10".parse()?], Duration::from_secs(1), 1)
    } else {
        (arguments.rooms.clone(), Duration::from_secs(arguments.seconds), arguments.repeat)
    };
    let mut rows = Vec::new();
    for shape in rooms {
        let mut candidates: Vec<_> = arguments
            .servers
            .iter()
            .filter(|kind| **kind != Kind::Janus || shape.copies() <= arguments.janus_copies)
            .flat_map(|kind| {
                let workers: &[u16] = if *kind == Kind::Visavis { &arguments.workers } else { &[1] };
                workers.iter().map(|workers| (*kind, *workers, Vec::new()))
            })
            .collect();
        // The floor replays the runs of this server.
        let mut run = usize::from(load::PICTURE_PACKETS);
        // Servers take turns, so that other activity of the machine affects all of them.
        for _ in 0..repeat {
            for (kind, workers, samples) in &mut candidates {
                let sample = measure(*kind, *workers, shape, arguments.layers, run, time)?;
                eprintln!("{shape}, {kind:?}, {workers} workers: {sample:?}");
                if let Some(sample) = sample.filter(|_| *kind == Kind::Visavis && *workers == 1) {
                    run = whole(sample.run);
                }
                samples.extend(sample);
            }
        }
        for (kind, workers, samples) in candidates {
            match Figures::median(&samples) {
                Some((figures, least)) => rows.push(Row { kind, workers, shape, figures, least }),
                None => eprintln!("{kind:?} is not installed: left out"),
            }
        }
    }
    process::print(&report::to_markdown(&rows), arguments.output.as_deref())
}

/// The nearest number of packets.
fn whole(run: f64) -> usize {
    (1..64_u8).find(|packets| f64::from(*packets) + 0.5 > run).map_or(64, usize::from)
}

fn measure(
    kind: Kind,
    workers: u16,
    shape: Shape,
    layers: bool,
    run: usize,
    time: Duration,
) -> anyhow::Result<Option<Figures>> {
    let load = || if layers { Load::in_layers(shape) } else { Load::new(shape, load::PICTURE_PACKETS) };
    let warm_up = if layers { LAYERS_WARM_UP } else { WARM_UP };
    match kind {
        Kind::Visavis => {
            let mut server = Ours::start(SERVER_CPU, workers, None)?;
            forward(&mut server, |server| &server.process, load()?, warm_up, time).map(Some)
        }
        Kind::Janus => {
            let Some(mut server) = Janus::start(SERVER_CPU)? else { return Ok(None) };
            forward(&mut server, |server| &server.process, load()?.all_heard(), warm_up, time).map(Some)
        }
        Kind::Floor => {
            let mut floor = Floor::start(SERVER_CPU, shape, run)?;
            let mut begin = Used::default();
            let arrived = floor.run(WARM_UP, time, |process| {
                begin = Used::by(process)?;
                Ok(())
            })?;
            let used = Used::by(&floor.process)?.since(begin);
            Ok(Some(Figures::new(&arrived, used, time, 0, 0)))
        }
    }
}

fn forward<S: Signaling>(
    server: &mut S,
    process: impl Fn(&S) -> &Process,
    mut load: Load,
    warm_up: Duration,
    time: Duration,
) -> anyhow::Result<Figures> {
    let receivers = load.receivers() as u64;
    let before = process(server).resident_bytes()?;
    load.connect(server)?;
    let idle = process(server).resident_bytes()?.saturating_sub(before) / receivers;
    let mut begin = Used::default();
    let arrived = load.run(warm_up, time, || {
        begin = Used::by(process(server))?;
        Ok(())
    })?;
    let used = Used::by(process(server))?.since(begin);
    let active = process(server).resident_bytes()?.saturating_sub(before) / receivers;
    Ok(Figures::new(&arrived, used, time, idle, active))
}
