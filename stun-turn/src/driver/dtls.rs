//! DTLS associations of clients (RFC 7350).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use dimpl::{Dtls, Output};
use slab::Slab;

use super::tls::DtlsContext;
use crate::five_tuple::FiveTuple;

/// One client's association.
pub(super) struct Association {
    dtls: Dtls,
    pub(super) tuple: FiveTuple,
    /// The socket that it came in by.
    pub(super) listener: usize,
    pub(super) last_heard: Instant,
    is_connected: bool,
    next_timeout: Option<Instant>,
}

impl Association {
    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }
}

/// All associations of a shard.
#[derive(Default)]
pub(super) struct Associations {
    entries: Slab<Association>,
    by_client: HashMap<(usize, SocketAddr, SocketAddr), usize>,
    handshakes: usize,
}

/// Handshakes under way at most, so that hellos from made-up addresses stay cheap. They are forgotten after a few seconds.
const MAX_HANDSHAKES: usize = 512;

/// The answer to a client that knows DTLS 1.0 alone: a fatal alert, `protocol_version` (RFC 6347, section 4.1). Without it such a client waits
/// instead of trying another version.
pub(super) const VERSION_ALERT: [u8; 15] = [21, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 70];

/// Whether a record holds the beginning of a `ClientHello` whose highest version is DTLS 1.0.
pub(super) fn is_outdated_hello(record: &[u8]) -> bool {
    let is_hello = record.first() == Some(&22) && record.get(13) == Some(&1);
    let is_beginning = record.get(19..22) == Some(&[0, 0, 0]);
    is_hello && is_beginning && record.get(25..27) == Some(&[0xfe, 0xff])
}

/// What an association has to say.
#[derive(Clone, Copy)]
pub(super) enum Event<'a> {
    /// A record for the client.
    Send(&'a [u8]),
    /// A message from it.
    Message(&'a [u8]),
}

impl Associations {
    pub(super) fn get(&self, index: usize) -> Option<&Association> {
        self.entries.get(index)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The association of `tuple` on `listener`; a new one when a handshake may begin.
    pub(super) fn find_or_begin(
        &mut self,
        now: Instant,
        listener: usize,
        tuple: FiveTuple,
        record: &[u8],
        context: &DtlsContext,
        limit: usize,
    ) -> Option<usize> {
        let key = (listener, tuple.client, tuple.server);
        if let Some(&index) = self.by_client.get(&key) {
            return Some(index);
        }
        // A handshake record with a `ClientHello`, and nothing else, begins an association.
        let is_hello = record.first() == Some(&22) && record.get(13) == Some(&1);
        if !is_hello || self.handshakes >= MAX_HANDSHAKES || self.entries.len() >= limit {
            return None;
        }
        let mut dtls = Dtls::new_auto(context.config.clone(), context.certificate.clone(), now);
        dtls.handle_timeout(now).ok()?;
        let index = self.entries.insert(Association {
            dtls,
            tuple,
            listener,
            last_heard: now,
            is_connected: false,
            next_timeout: None,
        });
        self.by_client.insert(key, index);
        self.handshakes += 1;
        Some(index)
    }

    /// Feeds a record, and tells what comes of it. `false` when the association is over.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        index: usize,
        record: &[u8],
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(Event<'_>),
    ) -> bool {
        let Some(association) = self.entries.get_mut(index) else { return true };
        association.last_heard = now;
        // The engine takes the time from timeouts only. Each error is the end of it.
        let is_alive =
            association.dtls.handle_timeout(now).is_ok() && association.dtls.handle_packet(record).is_ok();
        self.drain(index, buffer, each) && is_alive
    }

    /// Encrypts a message for the client.
    pub(super) fn send(
        &mut self,
        index: usize,
        message: &[u8],
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(Event<'_>),
    ) -> bool {
        let Some(association) = self.entries.get_mut(index) else { return true };
        let is_alive = association.dtls.send_application_data(message).is_ok();
        self.drain(index, buffer, each) && is_alive
    }

    /// Retransmits where it is time to. Gives those that are over.
    pub(super) fn handle_timeouts(
        &mut self,
        now: Instant,
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(usize, Event<'_>),
    ) -> Vec<usize> {
        let due = |association: &Association| association.next_timeout.is_some_and(|at| at <= now);
        let indices: Vec<usize> =
            self.entries.iter().filter(|(_, entry)| due(entry)).map(|(index, _)| index).collect();
        indices
            .into_iter()
            .filter(|&index| {
                let is_alive = self
                    .entries
                    .get_mut(index)
                    .is_some_and(|association| association.dtls.handle_timeout(now).is_ok());
                !(self.drain(index, buffer, &mut |event| each(index, event)) && is_alive)
            })
            .collect()
    }

    /// Those that have been silent since `since`.
    pub(super) fn silent_since(&self, since: Instant) -> Vec<usize> {
        let silent = self.entries.iter().filter(|(_, entry)| entry.last_heard < since);
        silent.map(|(index, _)| index).collect()
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Association> {
        let association = self.entries.try_remove(index)?;
        let tuple = association.tuple;
        self.by_client.remove(&(association.listener, tuple.client, tuple.server));
        if !association.is_connected {
            self.handshakes -= 1;
        }
        Some(association)
    }

    fn drain(&mut self, index: usize, buffer: &mut Vec<u8>, each: &mut dyn FnMut(Event<'_>)) -> bool {
        let Some(association) = self.entries.get_mut(index) else { return true };
        loop {
            match association.dtls.poll_output(buffer) {
                Output::Packet(record) => each(Event::Send(record)),
                Output::ApplicationData(message) => each(Event::Message(message)),
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Connected if !association.is_connected => {
                    association.is_connected = true;
                    self.handshakes -= 1;
                }
                Output::Timeout(at) => {
                    association.next_timeout = Some(at);
                    return true;
                }
                Output::CloseNotify => return false,
                _ => {}
            }
        }
    }
}
