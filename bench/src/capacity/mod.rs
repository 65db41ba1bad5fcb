//! What a server carries: clients of one's own number and shape join it by its URL, more with each step, until the load
//! bends.
//!
//! A `Shape` is a load that can grow: broadcasts and conferences send media through the media server
//! with the clients of the comparison (`Load`), mesh rooms exchange messages, calls use the
//! relay. Each step adds people, measures what arrives (`Step`), and is compared with limits. What ends the run is
//! the `Bend`: a refusal, loss, delay, or the load generator itself. All runs on one thread, whose lateness is part of
//! every step: a load generator that cannot keep up must not be taken for a slow server.

mod arguments;
pub(crate) mod crowd;
mod generator;
mod media;
mod mesh;
mod metrics;
mod refusal;
mod relay;
mod report;
mod session;
mod sessions;
mod shape;
mod target;
mod token;
mod verdict;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser as _;

use arguments::{Arguments, Common};
use generator::Own;
use media::Media;
use mesh::Mesh;
use metrics::Reading;
use relay::Relay;
use report::Report;
use sessions::{Rooms, Sessions};
use shape::Shape;
use target::Target;
use token::Tokens;
use verdict::{Bend, Kind, Limits, Step};

#[allow(clippy::disallowed_methods, reason = "this is a driver")]
fn now() -> Instant {
    Instant::now()
}

/// Puts the load on the server that the command line names, and prints the report.
///
/// # Errors
///
/// The arguments do not fit, or the server is not there. A server that refuses is a result.
pub fn main() -> anyhow::Result<()> {
    let Arguments { shape } = Arguments::parse();
    let common = shape.common();
    ensure!(common.growth > 1.0, "--growth must be more than 1");
    crate::process::raise_limits()?;
    let target = Target::new(&common.url, common.insecure)?;
    let (status, _) = target.get(Some("version")).with_context(|| {
        format!(
            "{} cannot be reached{}",
            common.url,
            if common.insecure { "" } else { " (a certificate of its own needs --insecure)" }
        )
    })?;
    ensure!(status == 200, "{} is no Visavis server: /version answers HTTP {status}", common.url);
    let metrics = common.metrics.as_ref().map(|url| Target::new(url, common.insecure)).transpose()?;
    if let Some(metrics) = &metrics {
        Reading::take(metrics).context("--metrics")?;
    }
    let tokens = Tokens::new(common.token.as_deref(), common.auth_key.as_deref())?;
    let rooms = match tokens.room() {
        Some(room) => Rooms::One(room),
        None => Rooms::Numbered(
            common.room.clone().unwrap_or_else(|| format!("load-{:08x}", rand::random::<u32>())),
        ),
    };
    let has_one_room = matches!(rooms, Rooms::One(_));
    let sessions = Sessions::new(&target, &tokens, rooms, common.from.clone(), common.joins_per_second)?;
    let mut run = Run { common, target: &target, metrics: metrics.as_ref(), has_one_room };
    let (name, report) = (shape.name(), &mut run);
    let report = match &shape {
        arguments::Shape::Broadcast { publishers, media, .. } => {
            let rooms = media::Rooms::Broadcast { publishers: (*publishers).into() };
            report.raise(name, Media::new(rooms, sessions, media.picture_packets())?, false)
        }
        arguments::Shape::Conference { people, media, .. } => {
            let rooms = media::Rooms::Conferences { people: (*people).into() };
            report.raise(name, Media::new(rooms, sessions, media.picture_packets())?, true)
        }
        arguments::Shape::Mesh { people, messages_per_second, .. } => {
            report.raise(name, Mesh::new((*people).into(), *messages_per_second, sessions), true)
        }
        arguments::Shape::Relay { media, .. } => {
            report.raise(name, Relay::new(sessions, media.picture_packets())?, false)
        }
    }?;
    let mut stdout = std::io::stdout().lock();
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(stdout, "{}", report.conclusion())?;
    }
    Ok(())
}

struct Run<'a> {
    common: &'a Common,
    target: &'a Target,
    metrics: Option<&'a Target>,
    has_one_room: bool,
}

impl Run<'_> {
    /// Raises the load until it bends.
    fn raise(&self, name: &'static str, mut shape: impl Shape, needs_rooms: bool) -> anyhow::Result<Report> {
        let Common { start, most, growth, seconds, time, loss_percent, delay_ms, late_ms, .. } = *self.common;
        // One token opens one room.
        let most = if needs_rooms && self.has_one_room { 1 } else { most };
        let limits = Limits { loss_percent, delay_ms, late_ms };
        let (begin, time) = (now(), Duration::from_secs(time));
        let (mut steps, mut good): (Vec<Step>, usize) = (Vec::new(), 0);
        let mut size = start.min(most);
        self.say(report::HEAD)?;
        let bend = loop {
            let step = match self.step(&mut shape, usize::try_from(size)?, Duration::from_secs(seconds)) {
                Ok(step) => step,
                Err(error) => break self.refused(&error, &shape),
            };
            self.say(&report::row(&step))?;
            let bent = step.bend(steps.first().unwrap_or(&step), limits);
            good += usize::from(bent.is_none());
            steps.push(step);
            if let Some(bend) = bent {
                break bend;
            }
            let ends = |kind, what: String| Bend { kind, what, limit: None, evidence: Vec::new() };
            if size >= most {
                break ends(
                    Kind::None,
                    "the largest size was reached, without loss, delay or refusal".to_owned(),
                );
            }
            if begin.elapsed() >= time {
                break ends(Kind::Time, format!("{} seconds were over (--time)", time.as_secs()));
            }
            size = next(size, growth).min(most);
        };
        shape.end();
        let carried = steps.get(..good).and_then(<[Step]>::last);
        Ok(Report {
            shape: name,
            url: self.common.url.to_string(),
            carried: carried.map_or(0, |step| step.people),
            carried_load: carried.map(|step| step.load.clone()),
            steps,
            bend,
        })
    }

    /// Adds people, and measures.
    fn step(&self, shape: &mut impl Shape, size: usize, time: Duration) -> anyhow::Result<Step> {
        let start = now();
        shape.grow(size)?;
        let joining = start.elapsed();
        let read = || self.metrics.map(Reading::take).transpose();
        let mut before = None;
        let figures = shape.run(time, &mut || {
            before = Some((read()?, Own::read()));
            Ok(())
        })?;
        let own = Own::read();
        let (reading, own_before) = before.context("nothing was measured")?;
        let server = reading.zip(read()?).map(|(before, after)| before.until(&after));
        let own = own.since(&own_before, figures.late);
        Ok(Step::new(shape.describe(size), shape.people(size), joining, figures, time, own, server))
    }

    /// A failure to add people: an answer of the server, the lack of one, or a limit of this machine.
    fn refused(&self, error: &anyhow::Error, shape: &impl Shape) -> Bend {
        let joined = shape.joined();
        let mut evidence = vec![format!("{joined} sessions were there by then")];
        let (kind, limit) = if refusal::is_local(error) {
            (
                Kind::Generator,
                Some("ports or open files of the load generator (--from, ulimit -n)".to_owned()),
            )
        } else if refusal::is_over_connections(error) {
            let (limit, more) = self.which_connections(joined);
            evidence.push(more);
            (Kind::Refused, Some(limit.to_owned()))
        } else {
            (Kind::Refused, refusal::limit(error).map(str::to_owned))
        };
        Bend { kind, what: format!("{error:#}"), limit, evidence }
    }

    /// A server refuses connections of an address for two reasons: there are too many, or they come too fast. The latter
    /// passes after a moment.
    fn which_connections(&self, joined: usize) -> (&'static str, String) {
        std::thread::sleep(Duration::from_secs(2));
        if matches!(self.target.get(Some("livez")), Ok((200, _))) {
            (
                "new connections of one address (--new-connections-per-second): lower --joins-per-second",
                "two seconds later it accepted one".to_owned(),
            )
        } else {
            (
                "connections of one address (--connections-per-address)",
                format!("two seconds later, with {joined} open, it still accepted none"),
            )
        }
    }

    /// Progress, for people.
    fn say(&self, line: &str) -> anyhow::Result<()> {
        if self.common.json {
            return Ok(());
        }
        writeln!(std::io::stdout().lock(), "{line}")?;
        Ok(())
    }
}

/// The size of the next step: larger by at least one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes are small, and growth is positive"
)]
fn next(size: u32, growth: f64) -> u32 {
    ((f64::from(size) * growth) as u32).max(size + 1)
}
