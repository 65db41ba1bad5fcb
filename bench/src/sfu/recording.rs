//! The cost of recording: the same room with and without a recorder, alternately.
//!
//! Everything is recorded into a temporary folder, each publisher into a separate file. The figure is the CPU time of
//! the whole process, including the writing thread; the kernel's later writes of pages to the disk are not included.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use recording::index::Index;

use super::load::Load;
use super::ours::Ours;
use super::report::Figures;
use super::shape::Shape;
use super::{WARM_UP, forward};
use crate::process::{self, LOAD_CPU, SERVER_CPU};

/// What to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Rooms: `20x20` is twenty who see one another.
    #[arg(long, value_delimiter = ',', default_value = "20x20")]
    rooms: Vec<Shape>,
    /// Packets of 1,100 bytes in a picture, of which there are thirty a second: with four some 1.06 Mbit/s.
    #[arg(long, default_value_t = 4)]
    picture_packets: u16,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Repetitions, of which the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Where the temporary folder is made, when not where such folders are.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Append the table to this file, too.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// The data written in all repetitions.
#[derive(Default)]
struct Written {
    files: usize,
    bytes: u64,
    dropped: u64,
    lost: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    process::pin_and_raise_limits(LOAD_CPU)?;
    let mut table = String::from(
        "| room | recorded | CPU µs per packet | CPU | of unrecorded | delivered | files | MiB | dropped | lost |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for &shape in &arguments.rooms {
        let (mut plain, mut recorded, mut written) = (Vec::new(), Vec::new(), Written::default());
        for _ in 0..arguments.repeat {
            plain.push(measure(arguments, shape, None)?);
            let folder = match &arguments.folder {
                Some(parent) => tempfile::tempdir_in(parent),
                None => tempfile::tempdir(),
            }?;
            recorded.push(measure(arguments, shape, Some(folder.path()))?);
            written.add(folder.path(), shape.publishers * shape.rooms)?;
        }
        let (plain, _) = Figures::median(&plain).context("nothing was measured")?;
        let (recorded, _) = Figures::median(&recorded).context("nothing was measured")?;
        eprintln!("{shape}: {plain:?}, recorded: {recorded:?}");
        // Writing to a string does not fail.
        let _ = writeln!(table, "{}", row(shape, "no", &plain, "–", "– | – | – | –"));
        let ratio = format!("{:.3}", recorded.micros / plain.micros);
        let mib = written.bytes >> 20;
        let cells = format!("{} | {mib} | {} | {}", written.files, written.dropped, written.lost);
        let _ = writeln!(table, "{}", row(shape, "yes", &recorded, &ratio, &cells));
    }
    process::print(&table, arguments.output.as_deref())
}

fn row(shape: Shape, recorded: &str, figures: &Figures, ratio: &str, written: &str) -> String {
    let Figures { micros, busy, delivered, .. } = figures;
    format!("| {shape} | {recorded} | {micros:.2} | {busy:.1}% | {ratio} | {delivered:.2}% | {written} |")
}

fn measure(arguments: &Arguments, shape: Shape, folder: Option<&Path>) -> anyhow::Result<Figures> {
    let mut server = Ours::start(SERVER_CPU, 1, folder)?;
    let load = Load::new(shape, arguments.picture_packets)?;
    let time = Duration::from_secs(arguments.seconds);
    let figures = forward(&mut server, |server| &server.process, load, WARM_UP, time)?;
    server.finish()?;
    Ok(figures)
}

impl Written {
    /// Checks that a server left a complete file for each publisher.
    fn add(&mut self, folder: &Path, publishers: usize) -> anyhow::Result<()> {
        let known = Index::open(folder)?.all();
        ensure!(known.len() == publishers, "{} files of {publishers} publishers", known.len());
        for entry in &known {
            let least = WARM_UP.as_millis();
            ensure!(u128::from(entry.duration_ms) > least, "a file of {} ms", entry.duration_ms);
            ensure!(entry.codecs == ["vp8", "opus"], "a file of {:?}", entry.codecs);
            self.bytes += entry.bytes;
            self.dropped += entry.dropped_packets;
            self.lost += entry.lost_packets;
        }
        self.files += known.len();
        Ok(())
    }
}
