//! The sending path of a connection over which media can flow.

use datagrams::Batch;

use crate::path::{MAX_DATAGRAM, Path};
use crate::sender::{Departure, Sender};
use crate::srtp::Sealer;
use crate::time::Micros;

/// The path, the SRTP context and the sender of a connection.
pub(crate) struct Outlet<'a> {
    pub(super) path: Path,
    pub(super) sealer: &'a Sealer,
    pub(super) sender: &'a mut Sender,
}

impl Outlet<'_> {
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
