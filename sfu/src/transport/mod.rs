//! One peer connection as a state machine: ICE finds the client's address, DTLS authenticates it, and then media flows.
//!
//! ```text
//!              start                    keys                 close_notify, failure
//!   New ───────────────► Handshaking ───────────► Connected ───────────────────────► (removed)
//! ```
//!
//! [`DtlsSession`] has this state. In each state, paths become valid and expire ([`IceSession`]); media flows when there
//! are keys and a valid path.

mod dtls;
mod ice;
mod outlet;
mod payload_types;
mod section;

use std::collections::HashMap;
use std::net::IpAddr;

use datagrams::Batch;
use signaling_core::{Reached, Way};

use crate::arrivals::Arrivals;
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey};
use crate::milestone::Milestones;
use crate::path::{Carrier, MAX_DATAGRAM, Path};
use crate::rtp::RtpHeader;
use crate::sender::Sender;
use crate::srtp::{RTCP_OVERHEAD, Sealer};
use crate::time::Micros;
use crate::wire::Writer;
pub(crate) use dtls::{DtlsContext, DtlsSession, Progress};
pub(crate) use ice::{Checked, IceSession, ufrags};
pub(crate) use outlet::Outlet;
use payload_types::PayloadTypes;
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
    pub(crate) dtls: DtlsSession,
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
    /// The tracks that the client was told there is no section for.
    pub(crate) unserved: Vec<PublicationKey>,
    pub(crate) payload_types: PayloadTypes,
    /// The earliest time at which a timer of this transport is queued.
    pub(crate) scheduled: Micros,
    pub(crate) next_report: Micros,
    pub(crate) probing: Probing,
    pub(crate) milestones: Milestones,
    /// The bitrate that the path can carry, in bits per second; `None` while it has shown no limit.
    pub(crate) budget: Option<u64>,
    /// The smoothed round-trip time in the client's reports.
    reported_rtt_micros: Option<u64>,
    /// The time of the client's last RTP or RTCP packet.
    media_at: Micros,
}

/// When a subscriber's video is chosen anew.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probing {
    /// The time of the last choice by the estimate of the path.
    pub(crate) chosen_at: Micros,
    /// Without an estimate, the time of the next try; `None` while nothing is held back.
    pub(crate) next_at: Option<Micros>,
    /// The last wait in microseconds, which is doubled for the next one.
    pub(crate) waited: u64,
}

/// The content of an incoming SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The media of a layer of the track.
    Media(PublicationKey, usize),
    /// The retransmissions of a layer of the track.
    Retransmission(PublicationKey, usize),
}

impl Route {
    /// The track.
    pub(crate) fn publication(self) -> PublicationKey {
        let (Self::Media(key, _) | Self::Retransmission(key, _)) = self;
        key
    }

    /// The layer.
    pub(crate) fn layer(self) -> usize {
        let (Self::Media(_, layer) | Self::Retransmission(_, layer)) = self;
        layer
    }
}

/// The state of the offer/answer exchange for our offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Negotiation {
    /// The number of the newest offer.
    pub(crate) number: u64,
    /// Whether the newest offer is waiting for its answer.
    pub(crate) outstanding: bool,
    /// Whether an offer has to be made even if no section has changed.
    pub(crate) stale: bool,
    /// Whether the sections may have to change when the outstanding offer has been answered.
    pub(crate) has_news: bool,
    /// The time of the next offer, of a large description.
    pub(crate) due: Option<Micros>,
}

impl Negotiation {
    /// Requests a new offer to replace the outstanding one.
    pub(crate) fn renew(&mut self) {
        self.outstanding = false;
        self.stale = true;
    }

    /// Whether the sections may change and be offered now; otherwise the reason is noted. The changes of a large
    /// description are collected for `wait`.
    pub(crate) fn is_open(&mut self, now: Micros, wait: u64) -> bool {
        if self.outstanding {
            self.has_news = true;
            return false;
        }
        // The first offer is what the client waits for, and what it asked for is not put off.
        let is_prompt = self.number == 0 || self.stale || wait == 0;
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_prompt || is_due {
            self.due = None;
            return true;
        }
        self.due.get_or_insert(now + wait);
        false
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
        let opened = ice.last_check();
        Self {
            peer,
            purpose,
            via,
            ice,
            dtls: DtlsSession::default(),
            sections: Vec::new(),
            session: session.into(),
            version: 0,
            local_ssrc,
            routes: HashMap::default(),
            arrivals: Arrivals::default(),
            sender: Sender::default(),
            negotiation: Negotiation::default(),
            unserved: Vec::new(),
            payload_types: PayloadTypes::default(),
            scheduled: Micros::NEVER,
            next_report: Micros::default(),
            probing: Probing::default(),
            milestones: Milestones::new(opened),
            budget: None,
            reported_rtt_micros: None,
            media_at: Micros::default(),
        }
    }

    /// The round-trip time to the client: as its reports show it, or as the handshake measured it.
    pub(crate) fn rtt_micros(&self) -> u64 {
        self.reported_rtt_micros.or(self.dtls.rtt_micros).unwrap_or(0)
    }

    /// Records a round-trip time measured by a report of the client (RFC 3550 section 6.4.1).
    pub(crate) fn on_reported_rtt(&mut self, sample: u64) {
        let known = self.reported_rtt_micros.unwrap_or(sample);
        self.reported_rtt_micros = Some((known * 7 + sample) / 8);
    }

    /// The time at which the client was last heard: a connectivity check, RTP or RTCP.
    pub(crate) fn heard_at(&self) -> Micros {
        self.media_at.max(self.ice.last_check())
    }

    /// What has arrived of the client.
    pub(crate) fn reached(&self) -> Reached {
        let check = self.ice.destination().map(|path| match path.carrier {
            Carrier::Socket => Way::Udp,
            Carrier::Stream(_) => Way::Tcp,
            Carrier::Relay => Way::Relay,
        });
        Reached { check, dtls: self.dtls.step() }
    }

    /// Whether media can flow.
    pub(crate) fn is_connected(&self) -> bool {
        self.dtls.keys().is_some() && self.ice.destination().is_some()
    }

    /// Whether the server has to send the first DTLS flight and has a path to send it on.
    pub(crate) fn is_to_speak_first(&self) -> bool {
        self.dtls.is_to_speak_first() && self.ice.destination().is_some()
    }

    /// Handles a DTLS datagram from the client.
    pub(crate) fn on_dtls(
        &mut self,
        now: Micros,
        datagram: &[u8],
        context: &mut DtlsContext<'_>,
    ) -> Progress {
        self.dtls.on_datagram(now, self.ice.destination(), datagram, context)
    }

    /// Handles a DTLS timeout, which may repeat a flight.
    pub(crate) fn on_dtls_timeout(&mut self, now: Micros, context: &mut DtlsContext<'_>) -> Progress {
        self.dtls.on_timeout(now, self.ice.destination(), context)
    }

    /// Sends `close_notify` to the client.
    pub(crate) fn close(&mut self, egress: &mut Batch<Path>, buf: &mut Vec<u8>) {
        if let Some(destination) = self.ice.destination() {
            self.dtls.close(destination, egress, buf);
        }
    }

    /// Decrypts an RTP packet in place. Returns its length without the tag, and its extended sequence number.
    pub(crate) fn open_rtp(
        &mut self,
        now: Micros,
        path: Path,
        header: &RtpHeader,
        datagram: &mut [u8],
    ) -> Option<(usize, u64)> {
        let keys = self.dtls.keys_mut()?;
        let opened = keys.opener.open_rtp(datagram, header.len, header.ssrc).ok()?;
        self.ice.select(path);
        self.media_at = now;
        Some(opened)
    }

    /// Decrypts a compound RTCP packet in place. Returns its length.
    pub(crate) fn open_rtcp(&mut self, now: Micros, path: Path, datagram: &mut [u8]) -> Option<usize> {
        let keys = self.dtls.keys_mut()?;
        let len = keys.opener.open_rtcp(datagram).ok()?;
        self.ice.select(path);
        self.media_at = now;
        Some(len)
    }

    /// The outlet for media; `None` while media cannot flow.
    pub(crate) fn outlet(&mut self) -> Option<Outlet<'_>> {
        let path = self.ice.destination()?;
        let keys = self.dtls.keys()?;
        Some(Outlet { path, sealer: &keys.sealer, sender: &mut self.sender })
    }

    /// Writes, encrypts and queues a compound RTCP packet.
    pub(crate) fn send_rtcp(&mut self, egress: &mut Batch<Path>, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(path) = self.ice.destination() else { return };
        let Some(keys) = self.dtls.keys_mut() else { return };
        egress.push_with(path, MAX_DATAGRAM, |buf| seal_rtcp(&mut keys.sealer, buf, write));
    }

    /// Queues the transport-wide feedback that is due.
    pub(crate) fn send_feedback(&mut self, now: Micros, egress: &mut Batch<Path>, media_ssrc: u32) {
        let Some(path) = self.ice.destination() else { return };
        let Some(keys) = self.dtls.keys_mut() else { return };
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
}

fn seal_rtcp(sealer: &mut Sealer, buf: &mut [u8], write: impl FnOnce(&mut Writer<'_>)) -> Option<usize> {
    let room = buf.len().checked_sub(RTCP_OVERHEAD)?;
    let mut writer = Writer::new(buf.get_mut(..room)?);
    write(&mut writer);
    let len = writer.finish()?;
    sealer.seal_rtcp(buf, len).ok()
}
