//! DTLS clients.

use std::time::{Duration, Instant};

use super::{EventLoop, IDLE_TIMEOUT};
use crate::driver::associations::{Association, Event, VERSION_ALERT, is_outdated_hello};
use crate::driver::token::Path;
use crate::five_tuple::{FiveTuple, Transport};
use crate::shard::Input;

/// A DTLS handshake gets this long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl EventLoop {
    pub(super) fn read_dtls(&mut self, now: Instant, listener: usize, tuple: FiveTuple, record: &[u8]) {
        let Some(context) = self.tls.dtls.clone() else { return };
        if is_outdated_hello(record) {
            self.send_udp(listener, tuple.client, tuple.server.ip(), [&VERSION_ALERT, &[], &[]]);
            return;
        }
        let tuple = FiveTuple { transport: Transport::Dtls, ..tuple };
        let limit = self.limits.connections;
        let Some(index) = self.associations.find_or_begin(now, listener, tuple, record, &context, limit)
        else {
            return;
        };
        let mut events = DtlsEvents::default();
        let is_alive = self
            .associations
            .handle(now, index, record, &mut self.dtls_buffer, &mut |event| events.take(event));
        if let Some(old) = self.associations.take_over(index) {
            self.close_association(now, old);
        }
        self.act_on_dtls(now, index, &events);
        if !is_alive {
            self.close_association(now, index);
        }
    }

    fn act_on_dtls(&mut self, now: Instant, index: usize, events: &DtlsEvents) {
        let Some(association) = self.associations.get(index) else { return };
        let (tuple, listener) = (association.tuple, association.listener);
        for record in &events.records {
            self.send_udp(listener, tuple.client, tuple.server.ip(), [record, &[], &[]]);
        }
        for message in &events.messages {
            self.input(now, Input::Client { tuple, path: Path::Dtls(index).id(), message });
            self.drain_outputs(now);
        }
    }

    pub(super) fn send_dtls(&mut self, index: usize, message: &[u8]) {
        let mut events = DtlsEvents::default();
        let is_alive =
            self.associations.send(index, message, &mut self.dtls_buffer, &mut |event| events.take(event));
        if is_alive && let Some(association) = self.associations.get(index) {
            let (tuple, listener) = (association.tuple, association.listener);
            for record in &events.records {
                self.send_udp(listener, tuple.client, tuple.server.ip(), [record, &[], &[]]);
            }
        }
    }

    fn close_association(&mut self, now: Instant, index: usize) {
        // An association has no allocation before its handshake is complete; that of the same five-tuple belongs to another one.
        if let Some(association) = self.associations.remove(index).filter(Association::is_connected) {
            self.input(now, Input::Disconnected { tuple: association.tuple });
            self.drain_outputs(now);
        }
    }

    pub(super) fn sweep_dtls(&mut self, now: Instant) {
        let mut events: Vec<(usize, DtlsEvents)> = Vec::new();
        let mut over = self.associations.handle_timeouts(now, &mut self.dtls_buffer, &mut |index, event| {
            let mut taken = DtlsEvents::default();
            taken.take(event);
            events.push((index, taken));
        });
        for (index, taken) in &events {
            self.act_on_dtls(now, *index, taken);
        }
        let since = now.checked_sub(HANDSHAKE_TIMEOUT).unwrap_or(now);
        let idle_since = now.checked_sub(IDLE_TIMEOUT).unwrap_or(now);
        for index in self.associations.silent_since(since) {
            let Some(association) = self.associations.get(index) else { continue };
            let is_idle = association.last_heard < idle_since;
            if !association.is_connected() || is_idle && !self.shard.has_allocation(&association.tuple) {
                over.push(index);
            }
        }
        for index in over {
            self.close_association(now, index);
        }
    }
}

/// Output of an association, kept until the DTLS engine is no longer borrowed. DTLS clients are few, so it may allocate.
#[derive(Default)]
struct DtlsEvents {
    records: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
}

impl DtlsEvents {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Send(record) => self.records.push(record.to_vec()),
            Event::Message(message) => self.messages.push(message.to_vec()),
        }
    }
}
