//! Numbers that name the sockets of an event loop, and the ways to its clients.

use crate::five_tuple::PathId;

/// The subject of an epoll event. The upper half of the number is its kind, the lower half an index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Inbox,
    Udp(u32),
    Tcp(u32),
    Relay(u32),
    /// The socket for the main peer of a relay.
    Flow(u32),
    Stream(u32),
    Peer(u32),
}

impl Token {
    pub(super) fn number(self) -> u64 {
        let (kind, index) = match self {
            Self::Inbox => (0, 0),
            Self::Udp(index) => (1, index),
            Self::Tcp(index) => (2, index),
            Self::Relay(index) => (3, index),
            Self::Stream(index) => (4, index),
            Self::Peer(index) => (5, index),
            Self::Flow(index) => (6, index),
        };
        (kind << 32) | u64::from(index)
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        let index = u32::try_from(number & 0xffff_ffff).ok()?;
        match number >> 32 {
            0 => Some(Self::Inbox),
            1 => Some(Self::Udp(index)),
            2 => Some(Self::Tcp(index)),
            3 => Some(Self::Relay(index)),
            4 => Some(Self::Stream(index)),
            5 => Some(Self::Peer(index)),
            6 => Some(Self::Flow(index)),
            _ => None,
        }
    }
}

/// The way back to a client, packed into a [`PathId`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Udp(usize),
    Stream(usize),
    Dtls(usize),
}

const PATH_STREAM: u32 = 1 << 31;
const PATH_DTLS: u32 = 1 << 30;

impl Path {
    pub(super) fn id(self) -> PathId {
        let (index, flag) = match self {
            Self::Udp(index) => (index, 0),
            Self::Stream(index) => (index, PATH_STREAM),
            Self::Dtls(index) => (index, PATH_DTLS),
        };
        PathId(u32::try_from(index).unwrap_or(PATH_DTLS - 1) | flag)
    }

    pub(super) fn of(id: PathId) -> Self {
        let index = (id.0 & (PATH_DTLS - 1)) as usize;
        match id.0 {
            flags if flags & PATH_STREAM != 0 => Self::Stream(index),
            flags if flags & PATH_DTLS != 0 => Self::Dtls(index),
            _ => Self::Udp(index),
        }
    }
}
