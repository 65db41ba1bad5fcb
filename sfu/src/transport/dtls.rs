//! The DTLS session of one connection: the state of its association, the SRTP keys, and the measured round-trip time.

use datagrams::Batch;
use signaling_core::DtlsStep;

use crate::dtls::{DtlsError, DtlsEvent, Fingerprint, Handshake, Identity, Role};
use crate::path::Path;
use crate::srtp::{self, Opener, Sealer};
use crate::time::{Clock, Micros};

/// The association with the client and its keys.
#[derive(Default)]
pub(crate) struct DtlsSession {
    state: State,
    /// The round-trip time to the client, measured in the handshake: the least time from one of our flights to
    /// the client's next packet.
    pub(crate) rtt_micros: Option<u64>,
    /// Whether the client has sent anything.
    has_begun: bool,
}

/// The state of the association.
#[derive(Default)]
enum State {
    /// The client's certificate is unknown: checks are answered, everything else is dropped.
    #[default]
    New,
    /// The handshake starts or continues as soon as there is a path.
    Handshaking(Association),
    /// The keys are known. The association still repeats its last flight and handles `close_notify`.
    Connected(Association, Box<Keys>),
}

/// The DTLS association and its timers.
struct Association {
    handshake: Handshake,
    /// The time of its next timeout.
    due: Option<Micros>,
    /// The time at which the last unanswered flight was sent.
    flight_left: Option<Micros>,
}

/// The SRTP contexts of both directions.
pub(crate) struct Keys {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

/// The outcome of a step of the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The handshake continues, or nothing has changed.
    Pending,
    /// The keys have become known.
    Connected,
    /// The client has closed the association.
    Closed,
    /// The association has failed.
    Failed(DtlsError),
}

/// The parts of the shard that DTLS uses.
pub(crate) struct DtlsContext<'a> {
    pub(crate) clock: Clock,
    pub(crate) egress: &'a mut Batch<Path>,
    /// A buffer for one datagram.
    pub(crate) buf: &'a mut Vec<u8>,
}

impl DtlsSession {
    /// Starts the association, unless it has already started.
    pub(crate) fn start(
        &mut self,
        now: Micros,
        clock: Clock,
        identity: &Identity,
        (role, fingerprint): (Role, Fingerprint),
    ) {
        if matches!(self.state, State::New) {
            let handshake = Handshake::new(identity, role, fingerprint, clock.instant(now));
            self.state = State::Handshaking(Association { handshake, due: None, flight_left: None });
        }
    }

    /// The expected fingerprint of the client's certificate; `None` before it is known.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.association().map(|association| association.handshake.expected())
    }

    /// How far the handshake has come.
    pub(crate) fn step(&self) -> DtlsStep {
        match self.state {
            State::Connected(..) => DtlsStep::Connected,
            _ if self.has_begun => DtlsStep::Begun,
            _ => DtlsStep::Waiting,
        }
    }

    /// Whether the server has to send the first flight.
    pub(crate) fn is_to_speak_first(&self) -> bool {
        self.association().is_some_and(|association| {
            association.handshake.role() == Role::Client && association.due.is_none()
        })
    }

    /// The time at which [`DtlsSession::on_timeout`] has to be called.
    pub(crate) fn due(&self) -> Option<Micros> {
        self.association().and_then(|association| association.due)
    }

    /// The SRTP contexts; `None` before the handshake is complete.
    #[inline]
    pub(crate) fn keys(&self) -> Option<&Keys> {
        match &self.state {
            State::Connected(_, keys) => Some(keys),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn keys_mut(&mut self) -> Option<&mut Keys> {
        match &mut self.state {
            State::Connected(_, keys) => Some(keys),
            _ => None,
        }
    }

    /// Handles a datagram from the client. Responses are sent on the path `destination`.
    pub(crate) fn on_datagram(
        &mut self,
        now: Micros,
        destination: Option<Path>,
        datagram: &[u8],
        context: &mut DtlsContext<'_>,
    ) -> Progress {
        self.has_begun = true;
        let Some(association) = self.association_mut() else { return Progress::Pending };
        let answered = association.flight_left.take();
        let result = association.handshake.handle_packet(context.clock.instant(now), datagram);
        if let Some(left) = answered {
            let sample = now - left;
            self.rtt_micros = Some(self.rtt_micros.map_or(sample, |known| known.min(sample)));
        }
        self.drive(now, destination, context, result)
    }

    /// Handles a timeout, which may repeat a flight.
    pub(crate) fn on_timeout(
        &mut self,
        now: Micros,
        destination: Option<Path>,
        context: &mut DtlsContext<'_>,
    ) -> Progress {
        let Some(association) = self.association_mut() else { return Progress::Pending };
        let result = association.handshake.handle_timeout(context.clock.instant(now));
        self.drive(now, destination, context, result)
    }

    /// Drains the association's output.
    fn drive(
        &mut self,
        now: Micros,
        destination: Option<Path>,
        context: &mut DtlsContext<'_>,
        result: Result<(), DtlsError>,
    ) -> Progress {
        if let Err(error) = result {
            return Progress::Failed(error);
        }
        let mut progress = Progress::Pending;
        loop {
            let Some(association) = self.association_mut() else { return progress };
            match association.handshake.poll(context.buf) {
                Ok(DtlsEvent::Transmit(len)) => {
                    association.flight_left = Some(now);
                    if let (Some(destination), Some(packet)) = (destination, context.buf.get(..len)) {
                        context.egress.push(destination, [packet]);
                    }
                }
                Ok(DtlsEvent::Keys(material, profile)) => {
                    let is_client = association.handshake.role() == Role::Client;
                    let Ok((sealer, opener)) = srtp::keys(&material, profile, is_client) else {
                        return Progress::Failed(DtlsError::Failed);
                    };
                    tracing::debug!(?profile, "transport connected");
                    self.open(Keys { sealer, opener });
                    progress = Progress::Connected;
                }
                Ok(DtlsEvent::Closed) => return Progress::Closed,
                Ok(DtlsEvent::Wait(at)) => {
                    // Rounded up, and later than now: if called too early, the association would
                    // return the same time again.
                    association.due = Some((context.clock.micros(at) + 1).max(now + 1));
                    return progress;
                }
                Err(error) => return Progress::Failed(error),
            }
        }
    }

    fn open(&mut self, keys: Keys) {
        self.state = match std::mem::take(&mut self.state) {
            State::New => State::New,
            State::Handshaking(association) | State::Connected(association, _) => {
                State::Connected(association, Box::new(keys))
            }
        };
    }

    /// Sends `close_notify`.
    pub(crate) fn close(&mut self, destination: Path, egress: &mut Batch<Path>, buf: &mut Vec<u8>) {
        let Some(association) = self.association_mut() else { return };
        association.handshake.close();
        while let Ok(DtlsEvent::Transmit(len)) = association.handshake.poll(buf) {
            if let Some(packet) = buf.get(..len) {
                egress.push(destination, [packet]);
            }
        }
    }

    fn association(&self) -> Option<&Association> {
        match &self.state {
            State::New => None,
            State::Handshaking(association) | State::Connected(association, _) => Some(association),
        }
    }

    fn association_mut(&mut self) -> Option<&mut Association> {
        match &mut self.state {
            State::New => None,
            State::Handshaking(association) | State::Connected(association, _) => Some(association),
        }
    }
}
