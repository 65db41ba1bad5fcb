//! One client's relay, with what it may send and receive.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rate_limit::{Bucket, Rate};
use smallvec::SmallVec;

use crate::five_tuple::{FiveTuple, PathId, RelayId};
use crate::policy::AddressVerdict;
use crate::wire::{AddressFamily, Key, PasswordAlgorithm, TransactionId};

/// RFC 8656, section 9.
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_mins(5);
/// RFC 8656, section 12.
pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_mins(10);

/// A relayed transport address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relay {
    pub(super) id: RelayId,
    /// Where its socket is bound.
    pub(super) bound: SocketAddr,
    /// What the client and its peers see.
    pub(super) public: SocketAddr,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Permission {
    pub(super) address: IpAddr,
    pub(super) expires: Instant,
    pub(super) verdict: AddressVerdict,
    /// Whether the address is this machine's, so that what goes there may stay in the process.
    pub(super) is_own: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelBinding {
    pub(super) number: u16,
    pub(super) peer: SocketAddr,
    pub(super) expires: Instant,
    pub(super) is_own: bool,
}

/// What is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelayedTransport {
    Udp,
    /// RFC 6062
    Tcp,
}

/// What an allocation may relay, both ways together.
#[derive(Debug)]
pub(super) struct Bandwidth {
    rate: Rate,
    bucket: Bucket<Instant>,
}

impl Bandwidth {
    /// So many bytes a second, and a second's worth at once: a key frame comes in a burst.
    pub(super) fn new(now: Instant, bytes_per_second: u64) -> Self {
        Self { rate: Rate::per_second(bytes_per_second, bytes_per_second), bucket: Bucket::full(now) }
    }

    fn take(&mut self, now: Instant, bytes: usize) -> bool {
        self.bucket.take(now, self.rate, bytes as u64).is_ok()
    }
}

/// What a packet needs comes first, and the first channel and permission are in place: three lines of the cache, where a server
/// with thousands of these has to fetch each from memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Allocation {
    pub(super) tuple: FiveTuple,
    pub(super) path: PathId,
    /// Of IPv4 and IPv6; those of `relay_v4` and `relay_v6`.
    pub(super) relay_ids: [Option<RelayId>; 2],
    pub(super) bandwidth: Option<Box<Bandwidth>>,
    pub(super) channels: SmallVec<[ChannelBinding; 1]>,
    pub(super) permissions: SmallVec<[Permission; 1]>,
    /// Tells this allocation from an earlier one at the same index.
    pub(super) serial: u64,
    pub(super) username: Box<str>,
    pub(super) key: Key,
    pub(super) password_algorithm: PasswordAlgorithm,
    /// Of the request that made it: a repeated one gets the same answer.
    pub(super) transaction: TransactionId,
    pub(super) transport: RelayedTransport,
    pub(super) relay_v4: Option<Relay>,
    pub(super) relay_v6: Option<Relay>,
    pub(super) reservation: Option<[u8; 8]>,
    pub(super) expires: Instant,
    /// RFC 8016: the ticket that moves it, when the client asked for one.
    pub(super) ticket: Option<[u8; 16]>,
}

impl Allocation {
    pub(super) fn relay(&self, family: AddressFamily) -> Option<Relay> {
        match family {
            AddressFamily::V4 => self.relay_v4,
            AddressFamily::V6 => self.relay_v6,
        }
    }

    /// The name of the relay's socket.
    pub(super) fn relay_id(&self, family: AddressFamily) -> Option<RelayId> {
        let [v4, v6] = self.relay_ids;
        match family {
            AddressFamily::V4 => v4,
            AddressFamily::V6 => v6,
        }
    }

    /// Gives it a relay, of the family that it is bound to.
    pub(super) fn add_relay(&mut self, relay: Relay) {
        let [v4, v6] = &mut self.relay_ids;
        match AddressFamily::of(relay.bound.ip()) {
            AddressFamily::V4 => (*v4, self.relay_v4) = (Some(relay.id), Some(relay)),
            AddressFamily::V6 => (*v6, self.relay_v6) = (Some(relay.id), Some(relay)),
        }
    }

    pub(super) fn relays(&self) -> impl Iterator<Item = Relay> {
        [self.relay_v4, self.relay_v6].into_iter().flatten()
    }

    pub(super) fn take_relay(&mut self, family: AddressFamily) -> Option<Relay> {
        let [v4, v6] = &mut self.relay_ids;
        match family {
            AddressFamily::V4 => {
                *v4 = None;
                self.relay_v4.take()
            }
            AddressFamily::V6 => {
                *v6 = None;
                self.relay_v6.take()
            }
        }
    }

    pub(super) fn permission(&self, now: Instant, address: IpAddr) -> Option<&Permission> {
        self.permissions.iter().find(|entry| entry.address == address && entry.expires > now)
    }

    /// Installs a permission or prolongs it; `false` when there is room for no more.
    pub(super) fn permit(&mut self, now: Instant, permission: Permission, limit: usize) -> bool {
        if let Some(entry) = self.permissions.iter_mut().find(|entry| entry.address == permission.address) {
            *entry = permission;
            return true;
        }
        if self.permissions.len() >= limit {
            self.permissions.retain(|entry| entry.expires > now);
        }
        if self.permissions.len() >= limit {
            return false;
        }
        self.permissions.push(permission);
        true
    }

    /// Whether as many new permissions as `wanted` names fit.
    pub(super) fn has_room(&self, now: Instant, wanted: &[IpAddr], limit: usize) -> bool {
        let current = self.permissions.iter().filter(|entry| entry.expires > now);
        let kept = current.filter(|entry| !wanted.contains(&entry.address)).count();
        let fresh = wanted.iter().enumerate();
        let distinct =
            fresh.filter(|(at, ip)| !wanted.iter().take(*at).any(|earlier| earlier == *ip)).count();
        kept + distinct <= limit
    }

    pub(super) fn channel(&self, now: Instant, number: u16) -> Option<&ChannelBinding> {
        self.channels.iter().find(|entry| entry.number == number && entry.expires > now)
    }

    pub(super) fn channel_to(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let mut found = self.channels.iter().filter(|entry| entry.peer == peer && entry.expires > now);
        found.next().map(|entry| entry.number)
    }

    /// Takes the bandwidth for `bytes`.
    pub(super) fn may_relay(&mut self, now: Instant, bytes: usize) -> bool {
        self.bandwidth.as_mut().is_none_or(|bandwidth| bandwidth.take(now, bytes))
    }
}
