//! RTCP in both directions, and the timers.

use std::cmp::Reverse;
use std::time::Instant;

use datagrams::Batch;

use super::mirror::Note;
use super::{TransportKey, Worker};
use crate::path::{MAX_DATAGRAM, Path};
use crate::publication::SenderClock;
use crate::rtcp::{
    Compound, ReceptionReport, Rtcp, SenderInfo, write_cname, write_fir, write_nack, write_pli,
    write_receiver_report, write_remb, write_sender_report,
};
use crate::srtp::RTCP_OVERHEAD;
use crate::tap::TapEvent;
use crate::transport::{Purpose, Route, Section, Transport};
use crate::wire::Writer;

/// Reports go out this often.
const REPORT_INTERVAL_MICROS: u64 = 1_000_000;
/// Sequence numbers of one NACK: fits a datagram even when every item holds one.
const MAX_NACKED: usize = 250;
/// The canonical name in our own RTCP.
const CNAME: &str = "visavis";

impl Worker {
    pub(super) fn on_rtcp(
        &mut self,
        now: Instant,
        key: TransportKey,
        path: crate::path::Path,
        datagram: &mut [u8],
    ) {
        let now_micros = self.micros(now);
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(keys) = transport.keys.as_mut() else { return };
        let Ok(len) = keys.opener.open_rtcp(datagram) else { return };
        transport.remote = Some(path);
        let purpose = transport.purpose;
        let Some(compound) = datagram.get(..len) else { return };
        for packet in Compound::new(compound) {
            match purpose {
                Purpose::Publish => self.on_publisher_rtcp(now_micros, key, &packet),
                Purpose::Subscribe => self.on_subscriber_rtcp(now_micros, key, packet),
            }
        }
    }

    fn on_publisher_rtcp(&mut self, now_micros: u64, key: TransportKey, packet: &Rtcp<'_>) {
        let Rtcp::SenderReport { ssrc, info, .. } = packet else { return };
        let Some(transport) = self.transports.get(key) else { return };
        let Some(Route::Media(key)) = transport.routes.get(ssrc).copied() else { return };
        let Some(publication) = self.publications.get(key) else { return };
        let clock = SenderClock {
            ntp: info.ntp,
            rtp_timestamp: info.rtp_timestamp,
            at_micros: now_micros,
            generation: publication.generation,
        };
        for annex in &publication.annexes {
            self.notes.push((*annex, Note::Clock(key, clock)));
        }
        self.on_clock(now_micros, key, clock);
    }

    pub(super) fn on_clock(&mut self, now_micros: u64, key: super::PublicationKey, clock: SenderClock) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        let is_first = publication.clock.replace(clock).is_none();
        if let Some(tap) = &publication.tap {
            tap.take(TapEvent::Report(&publication.id, clock.into()));
        }
        if is_first {
            // Subscribers can put sound and picture together from the first report on: do not let them wait for it.
            let transports: Vec<_> = publication
                .subscriptions
                .iter()
                .filter_map(|subscription| self.subscriptions.get(*subscription).map(|s| s.transport))
                .collect();
            for transport in transports {
                if let Some(state) = self.transports.get_mut(transport) {
                    state.next_report = now_micros;
                }
                self.schedule(transport, now_micros);
            }
        }
    }

    fn on_subscriber_rtcp(&mut self, now_micros: u64, key: TransportKey, packet: Rtcp<'_>) {
        match packet {
            Rtcp::Nack(nack) => {
                let found = self.subscription_of(key, nack.ssrc);
                if let Some(subscription) = found {
                    self.retransmit(now_micros, subscription, nack.sequences().take(MAX_NACKED));
                }
            }
            Rtcp::Pli(ssrc) => self.on_keyframe_wish(now_micros, key, ssrc),
            Rtcp::Fir(targets) => {
                for ssrc in targets.take(16) {
                    self.on_keyframe_wish(now_micros, key, ssrc);
                }
            }
            Rtcp::Twcc(feedback) => {
                let Some(transport) = self.transports.get_mut(key) else { return };
                let news = transport.sender.on_feedback(now_micros, feedback.arrivals());
                self.on_path_news(now_micros, key, news);
            }
            Rtcp::Remb(limit) => self.on_remb(now_micros, key, limit),
            Rtcp::SenderReport { reports, .. } | Rtcp::ReceiverReport { reports } => {
                for report in reports {
                    self.on_reception(now_micros, key, &report);
                }
            }
            Rtcp::Bye(_) => {}
        }
    }

    fn on_keyframe_wish(&mut self, now_micros: u64, key: TransportKey, ssrc: u32) {
        let Some(subscription) = self.subscription_of(key, ssrc).and_then(|key| self.subscriptions.get(key))
        else {
            return;
        };
        // Who is sent nothing misses pictures, too, and could not use a key frame either.
        let Some(publication) = subscription.publication.filter(|_| subscription.flow.is_open()) else {
            return;
        };
        self.want_keyframe(now_micros, publication);
    }

    pub(super) fn want_keyframe(&mut self, now_micros: u64, key: super::PublicationKey) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        if publication.kind != crate::codec::MediaKind::Video {
            return;
        }
        publication.keyframe.want();
        self.request_keyframe(now_micros, key);
    }

    pub(super) fn subscription_of(&self, key: TransportKey, ssrc: u32) -> Option<super::SubscriptionKey> {
        self.transports.get(key)?.sections.iter().find_map(|section| match section {
            Section::Send { subscription, .. }
                if self.subscriptions.get(*subscription).is_some_and(|s| s.ssrc == ssrc) =>
            {
                Some(*subscription)
            }
            _ => None,
        })
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now_micros = self.micros(now);
        while let Some(Reverse((at, key))) = self.timers.peek().copied() {
            if at > now_micros {
                break;
            }
            self.timers.pop();
            let Some(transport) = self.transports.get_mut(key) else { continue };
            // An entry that an earlier one has overtaken: the transport has run since.
            if transport.scheduled != at {
                continue;
            }
            transport.scheduled = u64::MAX;
            self.run_timer(now, now_micros, key);
        }
        self.tell_speakers(now_micros);
        self.negotiate_pending(now_micros);
    }

    fn run_timer(&mut self, now: Instant, now_micros: u64, key: TransportKey) {
        let Some(transport) = self.transports.get(key) else { return };
        if transport.handshake_due.is_some_and(|due| due <= now_micros) {
            self.on_dtls_timeout(now, key);
        }
        let Some(transport) = self.transports.get(key) else { return };
        let consent = u64::try_from(self.shared.config.consent_timeout.as_micros()).unwrap_or(u64::MAX);
        let expires = transport.last_check.saturating_add(consent);
        if expires <= now_micros {
            self.on_consent_lost(key);
            return;
        }
        let next = if transport.is_connected() {
            match transport.purpose {
                Purpose::Publish => {
                    self.note_silence(now_micros, key);
                    self.report_to_publisher(now_micros, key)
                }
                Purpose::Subscribe => self.report_to_subscriber(now_micros, key),
            }
        } else {
            u64::MAX
        };
        let handshake =
            self.transports.get(key).and_then(|transport| transport.handshake_due).unwrap_or(u64::MAX);
        // At the latest when the consent may have expired, and never in the past.
        self.schedule(key, next.min(handshake).min(expires).max(now_micros + 500));
    }

    /// Sends what is due to a publisher and says when to come back.
    fn report_to_publisher(&mut self, now_micros: u64, key: TransportKey) -> u64 {
        let Some(transport) = self.transports.get_mut(key) else { return u64::MAX };
        let mut next = u64::MAX;
        let media: Vec<_> = transport
            .sections
            .iter()
            .filter_map(|section| match section {
                Section::Receive { publication, .. } => *publication,
                _ => None,
            })
            .collect();
        let sender = transport.local_ssrc;
        let report_due = transport.next_report <= now_micros;
        let mut reports: Vec<ReceptionReport> = Vec::new();
        let mut estimated: Vec<u32> = Vec::new();
        // Chromium looks only at feedback that names one of its streams.
        let mut media_ssrc = 0;
        for publication_key in &media {
            let Some(publication) = self.publications.get_mut(*publication_key) else { continue };
            let has_fir_only = publication.codecs.iter().any(|c| c.feedback.fir && !c.feedback.pli);
            let generation = publication.generation;
            let Some(receiver) = publication.receiver.as_mut() else { continue };
            let (ssrc, rtt_micros) = (receiver.ssrc, receiver.rtt_micros());
            media_ssrc = ssrc;
            self.sequence_buf.clear();
            receiver.requests(now_micros, &mut self.sequence_buf);
            for lost in self.sequence_buf.chunks(MAX_NACKED) {
                send_rtcp(&mut self.egress, transport, |writer| {
                    write_nack(writer, sender, ssrc, lost.iter().copied());
                });
            }
            if let Some(at) = receiver.next_request() {
                next = next.min(at);
            }
            if publication.keyframe.due_at(rtt_micros).is_some_and(|due| due <= now_micros) {
                publication.keyframe.sent(now_micros);
                let sequence = ((now_micros / 1_000) & 0xff) as u8;
                send_rtcp(&mut self.egress, transport, |writer| {
                    if has_fir_only {
                        write_fir(writer, sender, ssrc, sequence);
                    } else {
                        write_pli(writer, sender, ssrc);
                    }
                });
            }
            if let Some(at) = publication.keyframe.due_at(rtt_micros) {
                next = next.min(at);
            }
            if report_due {
                let clock = publication.clock.filter(|clock| clock.generation == generation);
                reports.push(receiver.report(clock.map(|c| (c.ntp.middle(), c.at_micros)), now_micros));
                if publication.codecs.iter().any(|c| c.feedback.remb && !c.feedback.transport_cc) {
                    estimated.push(ssrc);
                }
            }
        }
        if report_due {
            transport.next_report = now_micros + REPORT_INTERVAL_MICROS;
            let limit = self.shared.config.max_publish_bitrate;
            send_rtcp(&mut self.egress, transport, |writer| {
                write_receiver_report(writer, sender, &reports);
                write_cname(writer, sender, CNAME);
                if !estimated.is_empty() {
                    write_remb(writer, sender, limit, &estimated);
                }
            });
        }
        while transport.arrivals.due_at().is_some_and(|due| due <= now_micros) {
            let Transport { arrivals, keys, remote, addresses, .. } = transport;
            let (Some(keys), Some(to)) = (keys, remote.or_else(|| addresses.last().copied())) else { break };
            self.egress.push_with(to, MAX_DATAGRAM, |buf| {
                let len = plain_len(buf, |writer| arrivals.write(writer, sender, media_ssrc))?;
                keys.sealer.seal_rtcp(buf, len).ok()
            });
        }
        if let Some(at) = transport.arrivals.due_at() {
            next = next.min(at);
        }
        next.min(transport.next_report)
    }

    /// Sends what is due to a subscriber and says when to come back.
    fn report_to_subscriber(&mut self, now_micros: u64, key: TransportKey) -> u64 {
        let probe = self.probe(now_micros, key);
        let Some(transport) = self.transports.get_mut(key) else { return u64::MAX };
        if transport.next_report > now_micros {
            return transport.next_report.min(probe);
        }
        transport.next_report = now_micros + REPORT_INTERVAL_MICROS;
        let subscriptions: Vec<_> = transport
            .sections
            .iter()
            .filter_map(|section| match section {
                Section::Send { subscription, .. } => Some(*subscription),
                _ => None,
            })
            .collect();
        for subscription in subscriptions {
            let Some(subscription) = self.subscriptions.get(subscription) else { continue };
            let Some(publication) = subscription.publication.and_then(|key| self.publications.get(key))
            else {
                continue;
            };
            let (Some(clock), Some(shift)) = (publication.clock, subscription.rewrite.timestamp_shift())
            else {
                continue;
            };
            if clock.generation != publication.generation {
                continue;
            }
            // The publisher's clocks, carried on to now: sound and picture of one publisher share the wall clock.
            let elapsed = now_micros.saturating_sub(clock.at_micros);
            let ticks = elapsed * u64::from(publication.codec.clock_rate()) / 1_000_000;
            let info = SenderInfo {
                ntp: clock.ntp.plus_micros(elapsed),
                rtp_timestamp: clock
                    .rtp_timestamp
                    .wrapping_add(u32::try_from(ticks & 0xffff_ffff).unwrap_or(0))
                    .wrapping_add(shift),
                packets: subscription.packets,
                octets: subscription.octets,
            };
            let ssrc = subscription.ssrc;
            send_rtcp(&mut self.egress, transport, |writer| {
                write_sender_report(writer, ssrc, &info);
                write_cname(writer, ssrc, CNAME);
            });
        }
        transport.next_report.min(probe)
    }
}

fn plain_len(buf: &mut [u8], write: impl FnOnce(&mut Writer<'_>)) -> Option<usize> {
    let room = buf.len().checked_sub(RTCP_OVERHEAD)?;
    let mut writer = Writer::new(buf.get_mut(..room)?);
    write(&mut writer);
    writer.finish()
}

/// Writes, seals and queues a compound packet for the transport's client.
fn send_rtcp(egress: &mut Batch<Path>, transport: &mut Transport, write: impl FnOnce(&mut Writer<'_>)) {
    let (Some(destination), Some(keys)) = (transport.destination(), transport.keys.as_mut()) else { return };
    egress.push_with(destination, MAX_DATAGRAM, |buf| {
        let len = plain_len(buf, write)?;
        keys.sealer.seal_rtcp(buf, len).ok()
    });
}
