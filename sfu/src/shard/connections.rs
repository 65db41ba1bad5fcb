//! The connections of a shard, indexed by client address and by the ICE user name fragment, with their timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use datagrams::Batch;
use slotmap::SlotMap;

use crate::ice::{Check, Credentials};
use crate::keys::{FastMap, SubscriptionKey, TransportKey};
use crate::path::Path;
use crate::time::Micros;
use crate::transport::{Checked, Transport, ufrags};

/// The table of connections.
#[derive(Default)]
pub(super) struct Connections {
    transports: SlotMap<TransportKey, Transport>,
    by_address: FastMap<SocketAddr, TransportKey>,
    by_ufrag: FastMap<String, TransportKey>,
    timers: BinaryHeap<Reverse<(Micros, TransportKey)>>,
}

impl Connections {
    pub(super) fn get(&self, key: TransportKey) -> Option<&Transport> {
        self.transports.get(key)
    }

    pub(super) fn get_mut(&mut self, key: TransportKey) -> Option<&mut Transport> {
        self.transports.get_mut(key)
    }

    pub(super) fn len(&self) -> usize {
        self.transports.len()
    }

    /// The connection with this validated client address.
    pub(super) fn at(&self, address: SocketAddr) -> Option<TransportKey> {
        self.by_address.get(&address).copied()
    }

    /// Adds a connection.
    pub(super) fn open(&mut self, transport: Transport) -> TransportKey {
        let ufrags: Vec<_> = transport.ice.ufrags().map(str::to_owned).collect();
        let key = self.transports.insert(transport);
        self.by_ufrag.extend(ufrags.into_iter().map(|ufrag| (ufrag, key)));
        key
    }

    /// Removes a connection and its index entries.
    pub(super) fn close(&mut self, key: TransportKey) -> Option<Transport> {
        let transport = self.transports.remove(key)?;
        for ufrag in transport.ice.ufrags() {
            self.by_ufrag.remove(ufrag);
        }
        for address in transport.ice.addresses() {
            self.release(key, address);
        }
        Some(transport)
    }

    /// Answers a connectivity check on the connection that its user name selects. Returns the
    /// key if the check was valid.
    pub(super) fn on_check(
        &mut self,
        now: Micros,
        path: Path,
        ufrag: &str,
        datagram: &[u8],
        egress: &mut Batch<Path>,
    ) -> Option<(TransportKey, Checked)> {
        let key = self.by_ufrag.get(ufrag).copied()?;
        let check = Check::parse(datagram)?;
        let checked = self.transports.get_mut(key)?.ice.on_check(now, path, &check, ufrag, egress)?;
        for ufrag in ufrags(&checked.retired) {
            self.by_ufrag.remove(ufrag);
        }
        if let Some(evicted) = checked.evicted {
            self.by_address.remove(&evicted);
        }
        if checked.is_new_path {
            let previous = self.by_address.insert(path.remote, key).filter(|previous| *previous != key);
            if let Some(previous) = previous.and_then(|previous| self.transports.get_mut(previous)) {
                previous.ice.forget(path.remote);
            }
        }
        Some((key, checked))
    }

    /// Gives a connection new credentials in addition to those in use (RFC 8445 section 9).
    pub(super) fn restart_ice(&mut self, key: TransportKey, fresh: Credentials, remote_ufrag: &str) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        self.by_ufrag.insert(fresh.ufrag.clone(), key);
        let unused = transport.ice.restart(fresh, remote_ufrag);
        for ufrag in ufrags(&unused) {
            self.by_ufrag.remove(ufrag);
        }
    }

    /// Removes the client's validated paths until its next check; `false` if there were none.
    pub(super) fn expire(&mut self, key: TransportKey) -> bool {
        let Some(transport) = self.transports.get_mut(key) else { return false };
        let paths = transport.ice.expire();
        for path in &paths {
            self.release(key, path.remote);
        }
        !paths.is_empty()
    }

    fn release(&mut self, key: TransportKey, address: SocketAddr) {
        if self.by_address.get(&address) == Some(&key) {
            self.by_address.remove(&address);
        }
    }

    /// The sending sections of a connection; empty if the connection is gone.
    pub(super) fn sends(&self, key: TransportKey) -> Vec<SubscriptionKey> {
        self.transports.get(key).map(|transport| transport.sends().collect()).unwrap_or_default()
    }

    /// Makes the connection's timer run at this time at the latest.
    pub(super) fn schedule(&mut self, key: TransportKey, at: Micros) {
        if let Some(transport) = self.transports.get_mut(key)
            && at < transport.scheduled
        {
            transport.scheduled = at;
            self.timers.push(Reverse((at, key)));
        }
    }

    /// The time of the next timer.
    pub(super) fn next_timer(&self) -> Option<Micros> {
        let Reverse((at, _)) = self.timers.peek()?;
        Some(*at)
    }

    /// Takes a connection whose timer is due.
    pub(super) fn pop_due(&mut self, now: Micros) -> Option<TransportKey> {
        while let Some(Reverse((at, key))) = self.timers.peek().copied().filter(|due| due.0.0 <= now) {
            self.timers.pop();
            // A mismatch means that an earlier entry replaced this one and the timer has run since.
            if let Some(transport) =
                self.transports.get_mut(key).filter(|transport| transport.scheduled == at)
            {
                transport.scheduled = Micros::NEVER;
                return Some(key);
            }
        }
        None
    }
}
