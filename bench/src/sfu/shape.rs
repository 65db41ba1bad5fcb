//! Room shapes: the numbers of publishers and subscribers in each room.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};

/// Rooms of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rooms: usize,
    /// Publishing members per room.
    pub(crate) publishers: usize,
    /// Members per room that only receive.
    pub(crate) viewers: usize,
    /// Whether publishers receive one another.
    pub(crate) is_mutual: bool,
}

/// A member of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) room: usize,
    pub(crate) publishes: bool,
    /// The members whose media this one receives.
    pub(crate) watches: usize,
}

impl Shape {
    pub(crate) fn members(self) -> Vec<Member> {
        let watched = if self.is_mutual { self.publishers.saturating_sub(1) } else { 0 };
        let room = |room| {
            let publishers =
                (0..self.publishers).map(move |_| Member { room, publishes: true, watches: watched });
            let viewers =
                (0..self.viewers).map(move |_| Member { room, publishes: false, watches: self.publishers });
            publishers.chain(viewers)
        };
        (0..self.rooms).flat_map(room).collect()
    }

    /// Copies sent for one packet of each publisher.
    pub(crate) fn copies(self) -> usize {
        self.members().iter().map(|member| member.watches).sum()
    }
}

/// `1:100` is a broadcast, `10x10` a conference, `50*3x3` fifty conferences.
impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (rooms, room) = text.split_once('*').unwrap_or(("1", text));
        let rooms = rooms.parse().context("the number of rooms")?;
        if let Some((publishers, viewers)) = room.split_once(':') {
            let (publishers, viewers) = (publishers.parse()?, viewers.parse()?);
            return Ok(Self { rooms, publishers, viewers, is_mutual: false });
        }
        match room.split_once('x') {
            Some((a, b)) if a == b => Ok(Self { rooms, publishers: a.parse()?, viewers: 0, is_mutual: true }),
            _ => bail!("neither 1:100 nor 10x10: {text:?}"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rooms, publishers, viewers, is_mutual } = self;
        if *rooms > 1 {
            write!(f, "{rooms} rooms of ")?;
        }
        if *is_mutual {
            write!(f, "{publishers} × {publishers}")
        } else {
            write!(f, "{publishers} → {viewers}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_count_their_copies() {
        let copies = |text: &str| text.parse::<Shape>().unwrap().copies();
        assert_eq!((copies("1:100"), copies("10x10"), copies("50*3x3"), copies("2:3")), (100, 90, 300, 6));
        assert!("10x11".parse::<Shape>().is_err());
    }
}
