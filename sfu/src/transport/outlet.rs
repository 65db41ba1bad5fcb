//! The sending path of a connection over which media can flow.

use datagrams::Batch;

use crate::keys::SubscriptionKey;
use crate::path::{MAX_DATAGRAM, Path};
use crate::ring::PacketInfo;
use crate::sender::{Departure, Sender};
use crate::srtp::Sealer;
use crate::subscription::Subscription;
use crate::time::Micros;

/// The path, the SRTP context and the sender of a connection.
pub(crate) struct Outlet<'a> {
    pub(super) path: Path,
    pub(super) sealer: &'a Sealer,
    pub(super) sender: &'a mut Sender,
}

impl Outlet<'_> {
    /// Whether a packet stays in its ring for now: what waits already comes first, and a picture waits for the pacer.
    #[inline]
    pub(crate) fn holds(&mut self, now: Micros, subscription: &Subscription, info: &PacketInfo) -> bool {
        (subscription.is_queued || self.sender.has_waiting() || !self.sender.is_open(now))
            && subscription.is_paced()
            && subscription.rewrite.is_ahead(info)
    }

    /// Whether a picture's packet may leave now.
    pub(crate) fn is_open(&mut self, now: Micros) -> bool {
        self.sender.is_open(now)
    }

    /// Serves a section when the pacer allows it.
    pub(crate) fn wait(&mut self, section: SubscriptionKey) {
        self.sender.wait(section);
    }

    /// Queues the packet that `write` writes and encrypts. `is_reported` tells whether the packet carries its
    /// transport-wide sequence number, so that the client reports its arrival.
    pub(crate) fn send(
        &mut self,
        now: Micros,
        egress: &mut Batch<Path>,
        is_reported: bool,
        write: impl FnOnce(Departure, &Sealer, &mut [u8]) -> Option<usize>,
    ) {
        let departure = self.sender.departure(now);
        let len = egress.push_with(self.path, MAX_DATAGRAM, |buf| write(departure, self.sealer, buf));
        if let Some(len) = len.filter(|_| is_reported) {
            self.sender.sent(now, len);
        }
    }
}
