//! RTCP in both directions, and the timers of connections.

use super::Shard;
use super::message::Note;
use super::tracks::Tracks;
use crate::codec::MediaKind;
use crate::keys::{PublicationKey, SubscriptionKey, TransportKey};
use crate::layer::Layer;
use crate::path::Path;
use crate::publication::{Publication, SenderClock};
use crate::rtcp::{
    Compound, ReceptionReport, Rtcp, SenderInfo, write_cname, write_fir, write_nack, write_pli,
    write_receiver_report, write_remb, write_sender_report,
};
use crate::sdp::WrittenCodec;
use crate::subscription::Subscription;
use crate::time::Micros;
use crate::transport::{Purpose, Route};

/// The interval between RTCP reports.
const REPORT_INTERVAL_MICROS: u64 = 1_000_000;
/// The minimum delay after which a timer runs again by itself.
const TIMER_STEP_MICROS: u64 = 500;
/// Maximum number of sequence numbers in one NACK: fits a datagram even if every item holds a single one.
const MAX_NACKED: usize = 250;
/// Key frame requests taken from one FIR.
const MAX_FIR_TARGETS: usize = 16;
/// The canonical name in our own RTCP.
const CNAME: &str = "visavis";

/// The contents of a receiver report to a publisher.
#[derive(Default)]
struct Received {
    reports: Vec<ReceptionReport>,
    /// Streams whose bitrate only the server can limit, by REMB.
    estimated: Vec<u32>,
    /// Chromium ignores feedback that does not name one of its streams.
    media_ssrc: u32,
}

impl Shard {
    pub(super) fn on_rtcp(&mut self, now: Micros, key: TransportKey, path: Path, datagram: &mut [u8]) {
        let Some(transport) = self.connections.get_mut(key) else { return };
        let Some(len) = transport.open_rtcp(now, path, datagram) else { return };
        let purpose = transport.purpose;
        let Some(compound) = datagram.get(..len) else { return };
        for packet in Compound::new(compound) {
            match purpose {
                Purpose::Publish => self.on_publisher_rtcp(now, key, &packet),
                Purpose::Subscribe => self.on_subscriber_rtcp(now, key, packet),
            }
        }
    }

    fn on_publisher_rtcp(&mut self, now: Micros, key: TransportKey, packet: &Rtcp<'_>) {
        let Rtcp::SenderReport { ssrc, info, .. } = packet else { return };
        let Some(transport) = self.connections.get(key) else { return };
        let Some(Route::Media(key, at)) = transport.routes.get(ssrc).copied() else { return };
        let Some(publication) = self.tracks.publication(key) else { return };
        let Some(layer) = publication.layer(at) else { return };
        // A stream that the layer is not received from has clocks of its own.
        if layer.receiver.as_ref().is_some_and(|receiver| receiver.ssrc != *ssrc) {
            return;
        }
        let clock = SenderClock {
            ntp: info.ntp,
            rtp_timestamp: info.rtp_timestamp,
            at: now,
            generation: layer.generation,
        };
        for annex in publication.annexes.clone() {
            self.note(annex, Note::Clock(key, at, clock));
        }
        self.on_clock(now, key, at, clock);
    }

    pub(super) fn on_clock(&mut self, now: Micros, key: PublicationKey, at: usize, clock: SenderClock) {
        let Some(publication) = self.tracks.publication_mut(key) else { return };
        let Some(layer) = publication.layer_mut(at) else { return };
        let is_first = layer.clock.replace(clock).is_none();
        if let Some(tap) = &publication.tap {
            tap.report(at, clock);
        }
        if is_first {
            // From the first report on, subscribers can synchronize audio and video, so it is passed on at once.
            for transport in self.tracks.receivers(key) {
                if let Some(state) = self.connections.get_mut(transport) {
                    state.next_report = now;
                }
                self.connections.schedule(transport, now);
            }
        }
    }

    fn on_subscriber_rtcp(&mut self, now: Micros, key: TransportKey, packet: Rtcp<'_>) {
        match packet {
            Rtcp::Nack(nack) => {
                if let Some(subscription) = self.subscription_of(key, nack.ssrc)
                    && self.retransmit(now, subscription, nack.sequences().take(MAX_NACKED))
                {
                    self.on_keyframe_wish(now, key, nack.ssrc);
                }
            }
            Rtcp::Pli(ssrc) => self.on_keyframe_wish(now, key, ssrc),
            Rtcp::Fir(targets) => {
                for ssrc in targets.take(MAX_FIR_TARGETS) {
                    self.on_keyframe_wish(now, key, ssrc);
                }
            }
            Rtcp::Twcc(feedback) => self.on_path_feedback(now, key, &feedback),
            Rtcp::Remb(limit) => self.on_remb(now, key, limit),
            Rtcp::SenderReport { reports, .. } | Rtcp::ReceiverReport { reports } => {
                for report in reports {
                    self.on_reception(now, key, &report);
                }
            }
            Rtcp::Bye(_) => {}
        }
    }

    fn on_keyframe_wish(&mut self, now: Micros, key: TransportKey, ssrc: u32) {
        let section = self.subscription_of(key, ssrc).and_then(|key| self.tracks.subscription(key));
        // A subscriber whose section is closed also reports missing pictures, but cannot use a key frame.
        let open = section.filter(|subscription| subscription.flow.is_open());
        let Some((layer, target, Some(publication))) = open.map(|it| (it.layer, it.target, it.publication))
        else {
            return;
        };
        self.want_keyframe(now, publication, layer);
        if target != layer {
            self.want_keyframe(now, publication, target);
        }
    }

    /// The section of a transport that sends with this SSRC.
    pub(super) fn subscription_of(&self, key: TransportKey, ssrc: u32) -> Option<SubscriptionKey> {
        let mut sections = self.connections.get(key)?.sends();
        sections.find(|section| self.tracks.subscription(*section).is_some_and(|it| it.ssrc == ssrc))
    }

    /// Runs the timer of a transport.
    pub(super) fn run_timer(&mut self, now: Micros, key: TransportKey) {
        if self.connections.get(key).and_then(|transport| transport.dtls.due()).is_some_and(|due| due <= now)
        {
            self.on_dtls_timeout(now, key);
        }
        let offers_at = self.offer_collected(now, key).unwrap_or(Micros::NEVER);
        let Some(transport) = self.connections.get(key) else { return };
        let expires = transport.ice.last_check() + self.consent_micros();
        if expires <= now {
            self.on_consent_lost(key);
            return;
        }
        let next = match transport.purpose {
            _ if !transport.is_connected() => Micros::NEVER,
            Purpose::Publish => {
                self.note_layers(now, key);
                self.note_silence(now, key);
                self.note_presence(now, key);
                self.report_to_publisher(now, key).unwrap_or(Micros::NEVER)
            }
            Purpose::Subscribe => self.report_to_subscriber(now, key).unwrap_or(Micros::NEVER),
        };
        let dtls =
            self.connections.get(key).and_then(|transport| transport.dtls.due()).unwrap_or(Micros::NEVER);
        // No later than the consent can expire, and never in the past.
        self.connections
            .schedule(key, next.min(dtls).min(expires).min(offers_at).max(now + TIMER_STEP_MICROS));
    }

    /// Sends the RTCP due to a publisher and returns the time of the next call.
    fn report_to_publisher(&mut self, now: Micros, key: TransportKey) -> Option<Micros> {
        let Self { connections, tracks, egress, scratch, config, .. } = self;
        let transport = connections.get_mut(key)?;
        let is_report_due = transport.next_report <= now;
        let mut next = Micros::NEVER;
        let mut report = Received::default();
        let publications: Vec<_> = transport.receives().collect();
        for key in publications {
            let Some(publication) = tracks.publication_mut(key) else { continue };
            let Publication { layers, codecs, kind, .. } = publication;
            let has_fir_only = codecs.iter().any(|c| c.feedback.fir && !c.feedback.pli);
            for layer in layers {
                let Some(receiver) = layer.receiver.as_mut() else { continue };
                let (sender, ssrc) = (transport.local_ssrc, receiver.ssrc);
                report.media_ssrc = ssrc;
                scratch.sequences.clear();
                let given_up = receiver.requests(now, &mut scratch.sequences);
                let next_request = receiver.next_request();
                if *kind == MediaKind::Video && given_up.is_some_and(|position| layer.needs(position)) {
                    layer.keyframe.want();
                }
                let keyframe_due = layer.keyframe_due();
                for lost in scratch.sequences.chunks(MAX_NACKED) {
                    transport
                        .send_rtcp(egress, |writer| write_nack(writer, sender, ssrc, lost.iter().copied()));
                }
                if keyframe_due.is_some_and(|due| due <= now) {
                    layer.keyframe.sent(now);
                    let sequence = ((now.0 / 1_000) & 0xff) as u8;
                    transport.send_rtcp(egress, |writer| {
                        if has_fir_only {
                            write_fir(writer, sender, ssrc, sequence);
                        } else {
                            write_pli(writer, sender, ssrc);
                        }
                    });
                }
                next = next_request.into_iter().chain(layer.keyframe_due()).fold(next, Micros::min);
                if is_report_due {
                    report.add(now, layer, codecs);
                }
            }
        }
        if is_report_due {
            transport.next_report = now + REPORT_INTERVAL_MICROS;
            let sender = transport.local_ssrc;
            transport.send_rtcp(egress, |writer| {
                write_receiver_report(writer, sender, &report.reports);
                write_cname(writer, sender, CNAME);
                if !report.estimated.is_empty() {
                    write_remb(writer, sender, config.max_publish_bitrate, &report.estimated);
                }
            });
        }
        transport.send_feedback(now, egress, report.media_ssrc);
        let feedback = transport.arrivals.due_at().unwrap_or(Micros::NEVER);
        Some(next.min(feedback).min(transport.next_report))
    }

    /// Sends the RTCP due to a subscriber and returns the time of the next call.
    fn report_to_subscriber(&mut self, now: Micros, key: TransportKey) -> Option<Micros> {
        if self.connections.get(key)?.sender.has_waiting() {
            self.tracks.opening.push(key);
        }
        let probe = self.probe(now, key).unwrap_or(Micros::NEVER);
        if self.connections.get(key)?.next_report > now {
            return Some(self.connections.get(key)?.next_report.min(probe));
        }
        self.note_first_picture(key);
        self.choose_without_reports(now, key);
        let transport = self.connections.get_mut(key)?;
        transport.next_report = now + REPORT_INTERVAL_MICROS;
        let sections: Vec<_> = transport.sends().collect();
        for section in sections {
            let Tracks { publications, subscriptions, .. } = &mut self.tracks;
            let Some(subscription) = subscriptions.get_mut(section) else { continue };
            let publication = subscription.publication.and_then(|key| publications.get(key));
            let Some(info) = publication.and_then(|it| subscription.sender_info(now, it)) else { continue };
            subscription.reported = Some((info.ntp.middle(), now));
            let ssrc = subscription.ssrc;
            transport.send_rtcp(&mut self.egress, |writer| {
                write_sender_report(writer, ssrc, &info);
                write_cname(writer, ssrc, CNAME);
            });
        }
        Some(transport.next_report.min(probe))
    }
}

impl Received {
    fn add(&mut self, now: Micros, layer: &mut Layer, codecs: &[WrittenCodec]) {
        let clock = layer.current_clock();
        let Some(receiver) = layer.receiver.as_mut() else { return };
        self.reports.push(receiver.report(clock.map(|clock| (clock.ntp.middle(), clock.at)), now));
        if codecs.iter().any(|c| c.feedback.remb && !c.feedback.transport_cc) {
            self.estimated.push(receiver.ssrc);
        }
    }
}

impl Subscription {
    /// The contents of a sender report: the publisher's clocks extrapolated to now. The audio and video of one
    /// publisher share the wall clock.
    fn sender_info(&self, now: Micros, publication: &Publication) -> Option<SenderInfo> {
        let clock = publication.layer(self.layer)?.current_clock()?;
        let shift = self.rewrite.timestamp_shift()?;
        let elapsed = now - clock.at;
        let ticks = elapsed * u64::from(publication.codec.clock_rate()) / 1_000_000;
        let ticks = u32::try_from(ticks & 0xffff_ffff).unwrap_or(0);
        Some(SenderInfo {
            ntp: clock.ntp.plus_micros(elapsed),
            rtp_timestamp: clock.rtp_timestamp.wrapping_add(ticks).wrapping_add(shift),
            packets: self.packets,
            octets: self.octets,
        })
    }
}
