//! The connections of a shard, indexed by the source of datagrams and by the ICE user name fragment, with their timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use datagrams::Batch;
use slotmap::SlotMap;

use crate::ice::{Check, Credentials};
use crate::keys::{FastMap, SubscriptionKey, TransportKey};
use crate::path::{Path, Source};
use crate::time::Micros;
use crate::transport::{Checked, Transport, ufrags};

/// The table of connections.
#[derive(Default)]
pub(super) struct Connections {
    transports: SlotMap<TransportKey, Transport>,
    by_source: FastMap<Source, TransportKey>,
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

    /// The connection for which ICE has validated this source.
    pub(super) fn at(&self, source: Source) -> Option<TransportKey> {
        self.by_source.get(&source).copied()
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
        for source in transport.ice.sources() {
            self.release(key, source);
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
            self.by_source.remove(&evicted);
        }
        if checked.is_new_path {
            let previous = self.by_source.insert(path.source(), key).filter(|previous| *previous != key);
            if let Some(previous) = previous.and_then(|previous| self.transports.get_mut(previous)) {
                previous.ice.forget(path.source());
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
            self.release(key, path.source());
        }
        !paths.is_empty()
    }

    fn release(&mut self, key: TransportKey, source: Source) {
        if self.by_source.get(&source) == Some(&key) {
            self.by_source.remove(&source);
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
