//! One peer connection as a state machine: ICE finds the client's address, DTLS authenticates it, and then media flows.
//!
//! ```text
//!            start_dtls                 keys                 close_notify, failure
//!   New ───────────────► Handshaking ───────────► Connected ───────────────────────► (removed)
//! ```
//!
//! In each of these states, paths become valid and expire ([`IceSession`]); media flows when there
//! are keys and a valid path.

mod ice;
mod section;

use std::collections::HashMap;
use std::net::IpAddr;

use datagrams::Batch;

use crate::arrivals::Arrivals;
use crate::codec::Codec;
use crate::dtls::{DtlsError, DtlsEvent, Fingerprint, Handshake, Identity, Role};
use crate::ice::Credentials;
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey};
use crate::path::{MAX_DATAGRAM, Path};
use crate::rtp::RtpHeader;
use crate::sender::Sender;
use crate::srtp::{self, Opener, RTCP_OVERHEAD, Sealer};
use crate::subscription::Departure;
use crate::time::{Clock, Micros};
use crate::wire::Writer;
pub(crate) use ice::{Checked, IceSession};
pub(crate) use section::Section;

/// The direction of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Media from the client.
    Publish,
    /// Media to the client.
    Subscribe,
}

/// The server's end of a peer connection.
pub(crate) struct Transport {
    pub(crate) peer: PeerKey,
    pub(crate) purpose: Purpose,
    /// The server address that the client connected to, if known.
    pub(crate) via: Option<IpAddr>,
    pub(crate) ice: IceSession,
    state: State,
    /// The round-trip time to the client, measured in the handshake: the least time from one of our flights to
    /// the client's next packet.
    pub(crate) rtt_micros: Option<u64>,
    pub(crate) sections: Vec<Section>,
    /// The session identifier of the SDP `o=` line.
    pub(crate) session: u64,
    pub(crate) version: u64,
    /// The SSRC of the server's RTCP.
    pub(crate) local_ssrc: u32,
    /// The track of each incoming SSRC.
    pub(crate) routes: HashMap<u32, Route, foldhash::fast::RandomState>,
    pub(crate) arrivals: Arrivals,
    pub(crate) sender: Sender,
    pub(crate) negotiation: Negotiation,
    /// The payload types assigned to codecs in our offers: the codec, its payload type, and
    /// that of its retransmissions.
    pub(crate) payload_types: Vec<(Codec, u8, Option<u8>)>,
    /// The earliest time at which a timer of this transport is queued.
    pub(crate) scheduled: Micros,
    pub(crate) next_report: Micros,
    pub(crate) probing: Probing,
}

/// The state of the connection.
enum State {
    /// The client's certificate is unknown: checks are answered, everything else is dropped.
    New,
    /// The DTLS handshake starts or continues as soon as there is a path.
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
struct Keys {
    sealer: Sealer,
    opener: Opener,
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

/// The schedule of bandwidth probes for a subscriber whose video is held back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probing {
    /// The time of the next probe; `None` while nothing is held back.
    pub(crate) next_at: Option<Micros>,
    /// The last wait in microseconds, which is doubled for the next one.
    pub(crate) waited: u64,
    /// Whether the client has not reported the last burst yet.
    pub(crate) unanswered: bool,
}

/// The content of an incoming SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The media of the track.
    Media(PublicationKey),
    /// The retransmissions of the track.
    Retransmission(PublicationKey),
}

impl Route {
    /// The track.
    pub(crate) fn publication(self) -> PublicationKey {
        let (Self::Media(key) | Self::Retransmission(key)) = self;
        key
    }
}

/// The state of the offer/answer exchange for our offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Negotiation {
    /// The number of the newest offer.
    pub(crate) number: u64,
    /// Whether the newest offer is waiting for its answer.
    pub(crate) outstanding: bool,
    /// Whether something has changed that the newest offer does not contain.
    pub(crate) stale: bool,
}

impl Negotiation {
    /// Requests a new offer to replace the outstanding one.
    pub(crate) fn renew(&mut self) {
        self.outstanding = false;
        self.stale = true;
    }
}

impl Transport {
    /// Creates a connection that waits for the client's checks.
    pub(crate) fn new(
        peer: PeerKey,
        purpose: Purpose,
        via: Option<IpAddr>,
        ice: IceSession,
        (session, local_ssrc): (u32, u32),
    ) -> Self {
        Self {
            peer,
            purpose,
            via,
            ice,
            state: State::New,
            rtt_micros: None,
            sections: Vec::new(),
            session: session.into(),
            version: 0,
            local_ssrc,
            routes: HashMap::default(),
            arrivals: Arrivals::default(),
            sender: Sender::default(),
            negotiation: Negotiation::default(),
            payload_types: Vec::new(),
            scheduled: Micros::NEVER,
            next_report: Micros::default(),
            probing: Probing::default(),
        }
    }

    /// Answers a connectivity check that names `ufrag`. `None` if the check is not valid.
    pub(crate) fn on_check(
        &mut self,
        now: Micros,
        path: Path,
        check: &crate::ice::Check<'_>,
        ufrag: &str,
        egress: &mut Batch<Path>,
    ) -> Option<Checked> {
        self.ice.on_check(now, path, check, ufrag, egress)
    }

    /// Whether media can flow.
    pub(crate) fn is_connected(&self) -> bool {
        self.has_keys() && self.ice.destination().is_some()
    }

    pub(crate) fn has_keys(&self) -> bool {
        matches!(self.state, State::Connected(..))
    }

    /// The expected fingerprint of the client's certificate; `None` before it is known.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.association().map(|association| association.handshake.expected())
    }

    /// Starts DTLS, unless it has already started.
    pub(crate) fn start_dtls(
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

    /// Whether the server has to send the first flight and has a path to send it on.
    pub(crate) fn is_to_speak_first(&self) -> bool {
        let waits = self.association().is_some_and(|association| {
            association.handshake.role() == Role::Client && association.due.is_none()
        });
        waits && self.ice.destination().is_some()
    }

    /// The time at which [`Transport::on_dtls_timeout`] has to be called.
    pub(crate) fn dtls_due(&self) -> Option<Micros> {
        self.association().and_then(|association| association.due)
    }

    /// Handles a DTLS datagram from the client.
    pub(crate) fn on_dtls(
        &mut self,
        now: Micros,
        datagram: &[u8],
        context: &mut DtlsContext<'_>,
    ) -> Progress {
        let Some(association) = self.association_mut() else { return Progress::Pending };
        let answered = association.flight_left.take();
        let result = association.handshake.handle_packet(context.clock.instant(now), datagram);
        if let Some(left) = answered {
            let sample = now - left;
            self.rtt_micros = Some(self.rtt_micros.map_or(sample, |known| known.min(sample)));
        }
        self.drive_dtls(now, context, result)
    }

    /// Handles a DTLS timeout, which may repeat a flight.
    pub(crate) fn on_dtls_timeout(&mut self, now: Micros, context: &mut DtlsContext<'_>) -> Progress {
        let Some(association) = self.association_mut() else { return Progress::Pending };
        let result = association.handshake.handle_timeout(context.clock.instant(now));
        self.drive_dtls(now, context, result)
    }

    /// Drains the association's output.
    fn drive_dtls(
        &mut self,
        now: Micros,
        context: &mut DtlsContext<'_>,
        result: Result<(), DtlsError>,
    ) -> Progress {
        if let Err(error) = result {
            return Progress::Failed(error);
        }
        let destination = self.ice.destination();
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
        self.state = match std::mem::replace(&mut self.state, State::New) {
            State::New => State::New,
            State::Handshaking(association) | State::Connected(association, _) => {
                State::Connected(association, Box::new(keys))
            }
        };
    }

    /// Sends `close_notify` to the client.
    pub(crate) fn close(&mut self, egress: &mut Batch<Path>, buf: &mut Vec<u8>) {
        let destination = self.ice.destination();
        let (Some(to), Some(association)) = (destination, self.association_mut()) else { return };
        association.handshake.close();
        while let Ok(DtlsEvent::Transmit(len)) = association.handshake.poll(buf) {
            if let Some(packet) = buf.get(..len) {
                egress.push(to, [packet]);
            }
        }
    }

    /// Decrypts an RTP packet in place. Returns its length without the tag, and its extended sequence number.
    pub(crate) fn open_rtp(
        &mut self,
        path: Path,
        header: &RtpHeader,
        datagram: &mut [u8],
    ) -> Option<(usize, u64)> {
        let State::Connected(_, keys) = &mut self.state else { return None };
        let opened = keys.opener.open_rtp(datagram, header.len, header.ssrc).ok()?;
        self.ice.select(path);
        Some(opened)
    }

    /// Decrypts a compound RTCP packet in place. Returns its length.
    pub(crate) fn open_rtcp(&mut self, path: Path, datagram: &mut [u8]) -> Option<usize> {
        let State::Connected(_, keys) = &mut self.state else { return None };
        let len = keys.opener.open_rtcp(datagram).ok()?;
        self.ice.select(path);
        Some(len)
    }

    /// The outlet for media; `None` while media cannot flow.
    pub(crate) fn outlet(&mut self) -> Option<Outlet<'_>> {
        let path = self.ice.destination()?;
        let State::Connected(_, keys) = &self.state else { return None };
        Some(Outlet { path, sealer: &keys.sealer, sender: &mut self.sender })
    }

    /// Writes, encrypts and queues a compound RTCP packet.
    pub(crate) fn send_rtcp(&mut self, egress: &mut Batch<Path>, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(path) = self.ice.destination() else { return };
        let State::Connected(_, keys) = &mut self.state else { return };
        egress.push_with(path, MAX_DATAGRAM, |buf| seal_rtcp(&mut keys.sealer, buf, write));
    }

    /// Queues the transport-wide feedback that is due.
    pub(crate) fn send_feedback(&mut self, now: Micros, egress: &mut Batch<Path>, media_ssrc: u32) {
        let Some(path) = self.ice.destination() else { return };
        let State::Connected(_, keys) = &mut self.state else { return };
        let (sender, arrivals) = (self.local_ssrc, &mut self.arrivals);
        while arrivals.due_at().is_some_and(|due| due <= now) {
            egress.push_with(path, MAX_DATAGRAM, |buf| {
                seal_rtcp(&mut keys.sealer, buf, |writer| arrivals.write(writer, sender, media_ssrc))
            });
        }
    }

    /// The sending sections, in order.
    pub(crate) fn sends(&self) -> impl Iterator<Item = SubscriptionKey> {
        self.sections.iter().filter_map(Section::sends)
    }

    /// The received tracks, in order.
    pub(crate) fn receives(&self) -> impl Iterator<Item = PublicationKey> {
        self.sections.iter().filter_map(Section::receives)
    }

    /// Sets the section of an m-line, which is an existing one or the next.
    pub(crate) fn set_section(&mut self, at: usize, section: Section) {
        match self.sections.get_mut(at) {
            Some(place) => *place = section,
            None => self.sections.push(section),
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

/// The sending path of a connection over which media can flow.
pub(crate) struct Outlet<'a> {
    path: Path,
    sealer: &'a Sealer,
    sender: &'a mut Sender,
}

impl Outlet<'_> {
    /// Queues the packet that `write` writes and encrypts.
    pub(crate) fn send(
        &mut self,
        now: Micros,
        egress: &mut Batch<Path>,
        write: impl FnOnce(Departure, &Sealer, &mut [u8]) -> Option<usize>,
    ) {
        let departure = self.sender.departure(now);
        let len = egress.push_with(self.path, MAX_DATAGRAM, |buf| write(departure, self.sealer, buf));
        if let Some(len) = len {
            self.sender.sent(now, len);
        }
    }

    /// Queues a burst of `packets` that measures the path.
    pub(crate) fn send_train(
        &mut self,
        now: Micros,
        egress: &mut Batch<Path>,
        packets: usize,
        mut write: impl FnMut(Departure, &Sealer, &mut [u8]) -> Option<usize>,
    ) {
        let first = self.sender.next_sequence();
        for _ in 0..packets {
            self.send(now, egress, &mut write);
        }
        self.sender.train_left(first, now);
    }
}

fn seal_rtcp(sealer: &mut Sealer, buf: &mut [u8], write: impl FnOnce(&mut Writer<'_>)) -> Option<usize> {
    let room = buf.len().checked_sub(RTCP_OVERHEAD)?;
    let mut writer = Writer::new(buf.get_mut(..room)?);
    write(&mut writer);
    let len = writer.finish()?;
    sealer.seal_rtcp(buf, len).ok()
}

/// The user name fragments of credentials.
pub(crate) fn ufrags(credentials: &[Credentials]) -> impl Iterator<Item = &str> {
    credentials.iter().map(|credentials| credentials.ufrag.as_str())
}
