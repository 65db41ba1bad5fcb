//! The test cases 5.1 to 5.8 of RFC 8867: one way of 50 ms, a drop-tail queue of 300 ms unless said otherwise, and media
//! of 150 kbit/s to 1.5 Mbit/s. The jitter is up to 30 ms, and what starts begins within a second, by the seed.

use std::time::Duration;

use super::{Direction, Flow, LinkSettings, MediaFlow, Random, Simulation, Source, TcpFlow, Transfers};
use crate::{Limits, Micros};

/// The greatest bitrate of the media.
pub const MOST: u64 = 1_500_000;
/// The least bitrate of the media.
pub const LEAST: u64 = 150_000;

/// A case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// 5.1: a link whose bitrate changes, and one flow.
    OneFlow,
    /// 5.2: a link whose bitrate changes, and two flows.
    TwoFlows,
    /// 5.3: a flow in each direction, whose feedback shares the link with the other's media.
    BothDirections,
    /// 5.4: three flows that start one after another.
    ThreeFlows,
    /// 5.5: five flows with different round trip times.
    RoundTrips,
    /// 5.6: beside a long TCP flow, with a queue of this many milliseconds.
    LongTcp(u64),
    /// 5.7: two flows beside ten TCP flows that transfer files.
    ShortTcp,
    /// 5.8: three flows, one of which pauses.
    Pause,
}

/// All cases, by their number in the RFC.
pub const ALL: [(&str, Case); 9] = [
    ("5.1", Case::OneFlow),
    ("5.2", Case::TwoFlows),
    ("5.3", Case::BothDirections),
    ("5.4", Case::ThreeFlows),
    ("5.5", Case::RoundTrips),
    ("5.6, 300 ms", Case::LongTcp(300)),
    ("5.6, 1 s", Case::LongTcp(1_000)),
    ("5.7", Case::ShortTcp),
    ("5.8", Case::Pause),
];

/// A flow of media, with times in seconds.
struct Media {
    direction: Direction,
    start: u64,
    pause: Option<(u64, u64)>,
    delay_micros: u64,
}

impl Case {
    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Self::OneFlow | Self::BothDirections => 100,
            Self::TwoFlows => 125,
            Self::RoundTrips | Self::ShortTcp => 300,
            Self::ThreeFlows | Self::LongTcp(_) | Self::Pause => 120,
        }
    }

    /// The bitrates of the way back, from each second on, if media flows there.
    fn rates_back(self) -> Vec<(u64, u64)> {
        match self {
            Self::BothDirections => vec![(0, 2_000_000), (35, 800_000), (70, 2_000_000)],
            _ => Vec::new(),
        }
    }

    /// The bits per second that all links with media carry during this second.
    pub fn capacity(self, second: u64) -> u64 {
        let at = |rates: Vec<(u64, u64)>| {
            rates.into_iter().rev().find(|(from, _)| *from <= second).map_or(0, |(_, rate)| rate)
        };
        at(self.rates()) + at(self.rates_back())
    }

    /// The bits per second that all flows of media want during this second, if each wants `most`.
    pub fn wanted(self, second: u64, most: u64) -> u64 {
        let sends = |flow: &&Media| {
            flow.start <= second && !flow.pause.is_some_and(|(from, until)| (from..until).contains(&second))
        };
        self.media().iter().filter(sends).count() as u64 * most
    }

    /// The bitrates of the link on which the first flow's media goes, from each second on.
    pub fn rates(self) -> Vec<(u64, u64)> {
        match self {
            Self::OneFlow => vec![(0, 1_000_000), (40, 2_500_000), (60, 600_000), (80, 1_000_000)],
            Self::TwoFlows => {
                vec![(0, 4_000_000), (25, 2_000_000), (50, 3_500_000), (75, 1_000_000), (100, 2_000_000)]
            }
            Self::BothDirections => vec![(0, 2_000_000), (20, 1_000_000), (40, 500_000), (60, 2_000_000)],
            Self::ThreeFlows | Self::Pause => vec![(0, 3_500_000)],
            Self::RoundTrips => vec![(0, 4_000_000)],
            Self::LongTcp(_) | Self::ShortTcp => vec![(0, 2_000_000)],
        }
    }

    fn media(self) -> Vec<Media> {
        let direction = Direction::There;
        let plain = |start| Media { direction, start, pause: None, delay_micros: 50_000 };
        match self {
            Self::OneFlow => vec![plain(0)],
            Self::TwoFlows => vec![plain(0), plain(0)],
            Self::BothDirections => vec![plain(0), Media { direction: Direction::Back, ..plain(0) }],
            Self::ThreeFlows => vec![plain(0), plain(20), plain(40)],
            Self::RoundTrips => {
                let delays = [10_000, 25_000, 50_000, 100_000, 150_000].into_iter();
                let flows = (0..).zip(delays);
                flows.map(|(flow, delay_micros)| Media { delay_micros, ..plain(flow * 10) }).collect()
            }
            Self::LongTcp(_) => vec![plain(5)],
            Self::ShortTcp => vec![plain(5), plain(5)],
            Self::Pause => vec![plain(0), Media { pause: Some((40, 60)), ..plain(0) }, plain(0)],
        }
    }

    /// The number of flows of media, which come first in the simulation.
    pub fn flows(self) -> usize {
        self.media().len()
    }

    /// Builds the case with our own controllers; `controlled` tells whether they are obeyed.
    pub fn build(self, seed: u64, controlled: bool) -> Simulation {
        let limits = Limits { least: LEAST, ..Limits::default() };
        self.build_with(seed, |start, pause| {
            let source = Source { start, pause, most: MOST, controlled, ..Source::default() };
            Box::new(MediaFlow::new(source, limits))
        })
    }

    /// Builds the case with flows of media made from the second of their start and their pause.
    pub fn build_with(
        self,
        seed: u64,
        mut flow: impl FnMut(Micros, Option<(Micros, Micros)>) -> Box<dyn Flow>,
    ) -> Simulation {
        let mut random = Random::new(seed);
        let jitter_micros = random.below(30_000);
        let link = LinkSettings { delay_micros: 0, jitter_micros, ..LinkSettings::new(0) };
        let mut there = LinkSettings { rates: self.rates(), ..link.clone() };
        let mut back = LinkSettings { rates: vec![(0, 100_000_000)], ..link };
        match self {
            Self::LongTcp(millis) => there.queue_micros = millis * 1_000,
            Self::BothDirections => back.rates = self.rates_back(),
            _ => {}
        }
        let mut simulation = Simulation::new(seed, there, back);
        for Media { direction, start, pause, delay_micros } in self.media() {
            let second = |second| Micros(second * 1_000_000);
            let pause = pause.map(|(from, until)| (second(from), second(until)));
            let start = second(start) + random.below(1_000_000);
            simulation.add(flow(start, pause), direction, delay_micros);
        }
        match self {
            Self::LongTcp(_) => {
                simulation.add(TcpFlow::new(0, Transfers::Long, seed), Direction::There, 50_000);
            }
            Self::ShortTcp => {
                for number in 0..10 {
                    let start = if number < 2 { 0 } else { random.below(60) };
                    let files = Transfers::Short(100_000..1_000_000, Duration::from_secs(10));
                    let flow = TcpFlow::new(start, files, seed * 10 + number);
                    simulation.add(flow, Direction::There, 50_000);
                }
            }
            _ => {}
        }
        simulation
    }
}
