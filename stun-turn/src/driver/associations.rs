//! DTLS associations of clients (RFC 7350).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

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

    fn key(&self) -> Key {
        (self.listener, self.tuple.client, self.tuple.server)
    }
}

/// All associations of a shard.
#[derive(Default)]
pub(super) struct Associations {
    entries: Slab<Association>,
    by_client: HashMap<Key, usize>,
    /// Handshakes of clients that begin anew on an address whose association is still there. It serves until the new one has proved
    /// that the address is its own (RFC 6347, section 4.2.8).
    successors: HashMap<Key, usize>,
    handshakes: usize,
}

/// A listener, the client, and the address that it reached.
type Key = (usize, SocketAddr, SocketAddr);

/// After this silence a `ClientHello` on the same address begins a new association.
const SILENCE: Duration = Duration::from_secs(5);

/// Concurrent handshakes, so that hellos from forged addresses stay cheap. They expire after a few seconds.
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

fn is_hello(record: &[u8]) -> bool {
    record.first() == Some(&22) && record.get(3..5) == Some(&[0, 0]) && record.get(13) == Some(&1)
}

/// Output of an association.
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
        let serving = self.by_client.get(&key).copied();
        if let Some(&successor) = self.successors.get(&key)
            // Application data is not the handshake's.
            && (serving.is_none() || record.first() != Some(&23))
        {
            return Some(successor);
        }
        if serving.is_some_and(|index| !(is_hello(record) && self.is_silent(now, index))) {
            return serving;
        }
        // A handshake record with a `ClientHello`, and nothing else, begins an association.
        if !is_hello(record) || self.handshakes >= MAX_HANDSHAKES || self.entries.len() >= limit {
            return serving;
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
        if serving.is_some() {
            self.successors.insert(key, index);
        } else {
            self.by_client.insert(key, index);
        }
        self.handshakes += 1;
        Some(index)
    }

    fn is_silent(&self, now: Instant, index: usize) -> bool {
        self.entries.get(index).is_some_and(|association| {
            association.is_connected && now.saturating_duration_since(association.last_heard) >= SILENCE
        })
    }

    /// Lets a successor serve once its handshake is done; gives the association that served before, which is over.
    pub(super) fn take_over(&mut self, index: usize) -> Option<usize> {
        let association = self.entries.get(index).filter(|association| association.is_connected)?;
        let key = association.key();
        self.successors.remove(&key).filter(|successor| *successor == index)?;
        self.by_client.insert(key, index)
    }

    /// Passes a record to an association, and its output to `each`. `false` when the association has ended.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        index: usize,
        record: &[u8],
        buffer: &mut Vec<u8>,
        each: &mut dyn FnMut(Event<'_>),
    ) -> bool {
        let Some(association) = self.entries.get_mut(index) else { return true };
        // A handshake is timed from its beginning, and a hello does not show that the established client lives.
        if association.is_connected && !is_hello(record) {
            association.last_heard = now;
        }
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

    /// Retransmits what is due. Returns the associations that have ended.
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

    /// The associations that have been silent since `since`.
    pub(super) fn silent_since(&self, since: Instant) -> Vec<usize> {
        let silent = self.entries.iter().filter(|(_, entry)| entry.last_heard < since);
        silent.map(|(index, _)| index).collect()
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Association> {
        let association = self.entries.try_remove(index)?;
        let key = association.key();
        for places in [&mut self.by_client, &mut self.successors] {
            if places.get(&key) == Some(&index) {
                places.remove(&key);
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::config::Certificate;
    use super::super::tls::TlsContext;
    use super::*;
    use crate::five_tuple::Transport;

    fn context() -> DtlsContext {
        let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = Certificate::from_pem(
            signed.cert.pem().as_bytes(),
            signed.signing_key.serialize_pem().as_bytes(),
        );
        TlsContext::new(&certificate.unwrap()).unwrap().dtls.unwrap()
    }

    fn client(context: &DtlsContext, now: Instant) -> Dtls {
        let config = dimpl::Config::builder().build().unwrap();
        let mut dtls = Dtls::new_12(Arc::new(config), context.certificate.clone(), now);
        dtls.set_active(true);
        dtls.handle_timeout(now).unwrap();
        dtls
    }

    /// One address of a client, and the server's associations.
    struct Lab {
        context: DtlsContext,
        associations: Associations,
        now: Instant,
    }

    impl Lab {
        fn new() -> Self {
            Self { context: context(), associations: Associations::default(), now: crate::testing::start() }
        }

        /// Hands over what `client` has to say, and back what comes of it, until there is no more. Gives the messages that the
        /// server read, each with the association that it came through.
        fn run(&mut self, client: &mut Dtls) -> Vec<(usize, Vec<u8>)> {
            let tuple = FiveTuple {
                transport: Transport::Dtls,
                client: SocketAddr::from(([192, 0, 2, 1], 5000)),
                server: SocketAddr::from(([192, 0, 2, 2], 3478)),
            };
            let (mut buffer, mut messages) = (vec![0; 4096], Vec::new());
            loop {
                let record = match client.poll_output(&mut buffer) {
                    Output::Packet(record) => record.to_vec(),
                    Output::Timeout(_) => return messages,
                    _ => continue,
                };
                let Self { context, associations, now } = self;
                let Some(index) = associations.find_or_begin(*now, 0, tuple, &record, context, 100) else {
                    continue;
                };
                let mut back = Vec::new();
                let mut room = vec![0; 4096];
                associations.handle(*now, index, &record, &mut room, &mut |event| match event {
                    Event::Send(record) => back.push(record.to_vec()),
                    Event::Message(message) => messages.push((index, message.to_vec())),
                });
                if let Some(old) = associations.take_over(index) {
                    associations.remove(old);
                }
                for record in back {
                    client.handle_packet(&record).unwrap();
                }
            }
        }

        /// The association that `client` reaches.
        fn reach(&mut self, client: &mut Dtls) -> Option<usize> {
            client.send_application_data(b"hi").unwrap();
            self.run(client).first().map(|(index, _)| *index)
        }
    }

    #[test]
    fn a_client_that_begins_anew_on_its_address_is_let_in_when_the_old_one_is_silent() {
        let mut lab = Lab::new();
        let mut old = client(&lab.context, lab.now);
        lab.run(&mut old);
        let served = lab.reach(&mut old).expect("it is connected");

        let mut new = client(&lab.context, lab.now);
        lab.run(&mut new);
        assert!(!new_is_connected(&lab, served), "the old one has just been heard");
        assert_eq!(lab.reach(&mut old), Some(served));

        lab.now += SILENCE;
        let mut new = client(&lab.context, lab.now);
        lab.run(&mut new);
        let serving = lab.reach(&mut new).expect("it is connected");
        assert_ne!(serving, served);
        assert_eq!((lab.associations.len(), lab.associations.handshakes), (1, 0), "the old one is gone");
        assert_eq!(lab.reach(&mut old), None);
        assert_eq!(lab.reach(&mut new), Some(serving));
    }

    fn new_is_connected(lab: &Lab, served: usize) -> bool {
        lab.associations.entries.iter().any(|(index, entry)| index != served && entry.is_connected)
    }

    #[test]
    fn a_hello_that_leads_nowhere_takes_nothing_from_the_one_that_is_served() {
        let mut lab = Lab::new();
        let mut old = client(&lab.context, lab.now);
        lab.run(&mut old);
        let served = lab.reach(&mut old).expect("it is connected");
        lab.now += SILENCE;
        // A client that cannot receive at this address gets no further than the first hello.
        let mut stranger = client(&lab.context, lab.now);
        let mut buffer = vec![0; 4096];
        let hello = loop {
            if let Output::Packet(record) = stranger.poll_output(&mut buffer) {
                break record.to_vec();
            }
        };
        let tuple = lab.associations.get(served).unwrap().tuple;
        let context = lab.context.clone();
        let index = lab.associations.find_or_begin(lab.now, 0, tuple, &hello, &context, 100).unwrap();
        assert_ne!(index, served);
        lab.associations.handle(lab.now, index, &hello, &mut buffer, &mut |_| {});
        assert_eq!(lab.associations.take_over(index), None);
        assert_eq!(lab.reach(&mut old), Some(served));
        lab.associations.remove(index);
        assert_eq!((lab.associations.len(), lab.associations.handshakes), (1, 0));
        assert_eq!(lab.reach(&mut old), Some(served));
    }
}
