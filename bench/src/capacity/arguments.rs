//! The command line of `visavis-load`.

use std::net::IpAddr;

use clap::{Args, Parser, Subcommand};
use url::Url;

/// Puts a load on a Visavis server, raises it step by step until it bends, and says what broke first.
///
/// Use it on your own server, at a time at which nobody else needs it, and from another machine: a load generator beside
/// the server takes its processors. A step lasts some seconds; then people are added, until packets are lost, delays
/// grow, the server refuses somebody, or the load generator itself cannot keep up.
#[derive(Parser)]
#[command(
    name = "visavis-load",
    version,
    after_help = "\
Examples:
  visavis-load broadcast https://calls.example --most 300
  visavis-load conference https://calls.example --people 5 --kbps 500 --auth-key secret.txt
  visavis-load relay https://192.168.1.5:8080 --insecure --metrics http://192.168.1.5:9090/metrics

From one address a server accepts 1,000 connections, and 50 new ones per second. For more, use several machines, several
--from, or --connections-per-address and --new-connections-per-second of the server."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) shape: Shape,
}

#[derive(Subcommand)]
pub(super) enum Shape {
    /// A lesson or a talk: few send, many watch, through the media server. The steps add viewers.
    Broadcast {
        /// People who send.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=50))]
        publishers: u16,
        #[command(flatten)]
        media: Media,
        #[command(flatten)]
        common: Common,
    },
    /// Meetings in which everybody sees everybody, through the media server. The steps add meetings.
    Conference {
        /// People in each meeting.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=100))]
        people: u16,
        #[command(flatten)]
        media: Media,
        #[command(flatten)]
        common: Common,
    },
    /// Calls from browser to browser, for which the server only passes on messages. The steps add rooms.
    Mesh {
        /// People in each room.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(2..=20))]
        people: u16,
        /// Messages of each person per second. A real call sends some twenty at its beginning, and then hardly any.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=40))]
        messages_per_second: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Calls of two whose media goes through the built-in relay, both ways. The steps add calls.
    Relay {
        #[command(flatten)]
        media: Media,
        #[command(flatten)]
        common: Common,
    },
}

/// The media of a sender.
#[derive(Args)]
pub(super) struct Media {
    /// Bitrate of a picture: rounded up to multiples of 264. Browsers send 1700 for one camera; in larger meetings most
    /// receive 500 or 150. Sound adds some 50.
    #[arg(long, default_value_t = 1_700, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kbps: u32,
}

impl Media {
    /// Packets of 1,100 bytes per picture, of which there are thirty a second.
    pub(super) fn picture_packets(&self) -> u16 {
        u16::try_from(self.kbps.div_ceil(264)).unwrap_or(u16::MAX)
    }
}

/// What all shapes have in common.
#[derive(Args)]
pub(super) struct Common {
    /// The server's public URL, as in `https://calls.example` or `http://192.168.1.5:8080`.
    pub(super) url: Url,
    /// Accept any certificate, such as one that the server has made itself.
    #[arg(long, short = 'k')]
    pub(super) insecure: bool,
    /// A join token, for a server that requires one: everybody joins the room that it names.
    #[arg(long, conflicts_with = "auth_key")]
    pub(super) token: Option<String>,
    /// The secret of the server's --auth-key (HS256), or the name of a file with it: signs a token for each room.
    #[arg(long)]
    pub(super) auth_key: Option<String>,
    /// Begin of the rooms' names; by default random.
    #[arg(long)]
    pub(super) room: Option<String>,
    /// The server's metrics (--metrics-listen), as in `http://127.0.0.1:9090/metrics`: its processors, memory and refusals
    /// then appear in the report.
    #[arg(long, value_name = "URL")]
    pub(super) metrics: Option<Url>,
    /// Local address to connect from. Repeatable: they are used in turn.
    #[arg(long)]
    pub(super) from: Vec<IpAddr>,
    /// Size of the first step: viewers, meetings, rooms or calls.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) start: u32,
    /// Size at which the run ends if nothing has bent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) most: u32,
    /// The size of a step relative to the one before.
    #[arg(long, default_value_t = 1.5)]
    pub(super) growth: f64,
    /// Seconds that a step is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=20))]
    pub(super) seconds: u64,
    /// Seconds after which no other step begins.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(1..=240))]
    pub(super) time: u64,
    /// People who join per second. The server accepts 50 from one address.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) joins_per_second: u32,
    /// Loss, in percent, from which the load counts as bent.
    #[arg(long, default_value_t = 1.0)]
    pub(super) loss_percent: f64,
    /// Delay in addition to the first step's, in milliseconds at the 99th percentile, from which the load counts as bent.
    #[arg(long, default_value_t = 50.0)]
    pub(super) delay_ms: f64,
    /// Lateness of the load generator, in milliseconds at the 99th percentile, from which its figures are not trusted.
    #[arg(long, default_value_t = 20.0)]
    pub(super) late_ms: f64,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Shape {
    pub(super) fn common(&self) -> &Common {
        match self {
            Self::Broadcast { common, .. }
            | Self::Conference { common, .. }
            | Self::Mesh { common, .. }
            | Self::Relay { common, .. } => common,
        }
    }

    /// The name of the subcommand.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Broadcast { .. } => "broadcast",
            Self::Conference { .. } => "conference",
            Self::Mesh { .. } => "mesh",
            Self::Relay { .. } => "relay",
        }
    }
}
