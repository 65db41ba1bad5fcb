//! Selects the video to send when a path is too narrow for all of it.
//!
//! Audio is always sent. When a path is full, its widest video section is held back; from time to time a short burst of
//! padding measures whether the narrowest section held back fits again.

use std::sync::Arc;

use signaling_core::MediaEvent;
use signaling_core::message::QualityReason;

use super::Shard;
use crate::codec::MediaKind;
use crate::congestion::HEAVY_LOSS_PERCENT;
use crate::keys::{SubscriptionKey, TransportKey};
use crate::rtcp::ReceptionReport;
use crate::sender::PathNews;
use crate::subscription::Subscription;
use crate::time::Micros;
use crate::transport::{Probing, Transport};

/// The first wait before a path is probed again, and the longest waits: with padding bursts, and without them.
const FIRST_PROBE_MICROS: u64 = 3_000_000;
const LAST_PROBE_MICROS: u64 = 16_000_000;
const LAST_TRY_MICROS: u64 = 48_000_000;
/// Packets in a burst: about 12 KB, which delays the packets behind it by 200 ms on a path of 500 kbit/s.
const TRAIN_PACKETS: usize = 40;
/// The interval at which an outstanding burst is checked for feedback.
const TRAIN_STEP_MICROS: u64 = 100_000;
/// The path capacity that is required to resume a section, as a percentage of the resulting bitrate.
const HEADROOM_PERCENT: u64 = 130;
/// The level of a track that is sent in full.
const FULL_QUALITY: u8 = 4;

impl Shard {
    pub(super) fn on_path_news(&mut self, now: Micros, key: TransportKey, news: PathNews) {
        if news.measured.is_some()
            && let Some(transport) = self.connections.get_mut(key)
        {
            transport.probing.unanswered = false;
        }
        if let Some(limit) = news.full_at {
            self.hold_back(now, key, limit);
        } else if let Some(rate) = news.measured {
            self.on_measured(now, key, rate);
        }
    }

    /// Applies the bandwidth limit that a receiver estimated itself (REMB).
    pub(super) fn on_remb(&mut self, now: Micros, key: TransportKey, limit: u64) {
        let demand: u64 =
            self.open_sections(key).iter().map(|section| self.tracks.rate_of(now, *section)).sum();
        if demand > limit + limit / 4 {
            self.hold_back(now, key, limit);
        }
    }

    /// Uses the reported packet loss for a receiver for which there is no other estimate.
    pub(super) fn on_reception(&mut self, now: Micros, key: TransportKey, report: &ReceptionReport) {
        self.note_round_trip(now, key, report);
        let lost = u64::from(report.fraction_lost);
        if lost * 100 < HEAVY_LOSS_PERCENT * 256 {
            return;
        }
        let Some(section) = self.subscription_of(key, report.ssrc) else { return };
        let counts =
            |section: &Subscription| section.kind == MediaKind::Video && !section.has_path_feedback();
        if !self.tracks.subscription(section).is_some_and(counts) {
            return;
        }
        let open = self.open_sections(key);
        let demand: u64 = open.into_iter().map(|section| self.tracks.rate_of(now, section)).sum();
        self.hold_back(now, key, demand * (256 - lost) / 256);
    }

    /// Measures the round-trip time by a report that names our last sender report.
    fn note_round_trip(&mut self, now: Micros, key: TransportKey, report: &ReceptionReport) {
        let section = self.subscription_of(key, report.ssrc);
        let reported = section.and_then(|section| self.tracks.subscription(section)?.reported);
        let Some((_, sent_at)) = reported.filter(|(middle, _)| *middle == report.last_sender_report) else {
            return;
        };
        let delay = u64::from(report.delay_since_last) * 1_000_000 / 65_536;
        if let (Some(sample), Some(transport)) =
            ((now - sent_at).checked_sub(delay), self.connections.get_mut(key))
        {
            transport.on_reported_rtt(sample);
        }
    }

    /// Holds back the widest video sections until the rest fits the limit.
    fn hold_back(&mut self, now: Micros, key: TransportKey, limit: u64) {
        let mut sections: Vec<_> = self
            .open_sections(key)
            .into_iter()
            .map(|section| (self.tracks.rate_of(now, section), section))
            .collect();
        let mut demand: u64 = sections.iter().map(|(rate, _)| *rate).sum();
        sections.sort_by_key(|(rate, _)| std::cmp::Reverse(*rate));
        let mut held = false;
        for (rate, section) in sections {
            let Some(subscription) = self.tracks.subscription_mut(section) else { continue };
            if demand <= limit {
                break;
            }
            if subscription.kind == MediaKind::Video {
                subscription.flow.starved = true;
                demand = demand.saturating_sub(rate);
                held = true;
                self.tell_quality(section, 0, Some(QualityReason::OwnNetwork));
            }
        }
        if held {
            tracing::debug!(limit, "a subscriber's path is full: video held back");
            self.wait_longer(now, key);
        }
    }

    /// Tells a subscriber the quality at which a section is sent, and why it is not better.
    fn tell_quality(&mut self, section: SubscriptionKey, level: u8, reason: Option<QualityReason>) {
        let Some(subscription) = self.tracks.subscription(section) else { return };
        let publication = subscription.publication.and_then(|key| self.tracks.publication(key));
        let subscriber = self.connections.get(subscription.transport).map(|transport| transport.peer);
        let (Some(publication), Some(subscriber)) = (publication, subscriber) else { return };
        let track = Some(Arc::clone(&publication.id));
        let Some(publisher) = self.rooms.peer(publication.peer).map(|peer| peer.id) else { return };
        self.tell(subscriber, |to| MediaEvent::Quality {
            peer: publisher,
            level,
            track,
            reason,
            to: Some(to),
        });
    }

    fn wait_longer(&mut self, now: Micros, key: TransportKey) {
        let sections = self.connections.sends(key);
        let is_measurable = sections
            .iter()
            .any(|section| self.tracks.subscription(*section).is_some_and(Subscription::measures));
        let longest = if is_measurable { LAST_PROBE_MICROS } else { LAST_TRY_MICROS };
        let Some(transport) = self.connections.get_mut(key) else { return };
        let probing = &mut transport.probing;
        probing.waited = (probing.waited * 2).clamp(FIRST_PROBE_MICROS, longest);
        let at = now + probing.waited;
        probing.next_at = Some(at);
        self.connections.schedule(key, at);
    }

    /// Sends a measuring burst if one is due, and returns the time of the next call.
    pub(super) fn probe(&mut self, now: Micros, key: TransportKey) -> Option<Micros> {
        let transport = self.connections.get_mut(key)?;
        let at = transport.probing.next_at?;
        if at > now {
            return Some(at);
        }
        if transport.sender.awaits_train(now) {
            return Some(now + TRAIN_STEP_MICROS);
        }
        let unanswered = std::mem::take(&mut transport.probing.unanswered);
        let Some(section) = self.next_to_resume(now, key) else {
            self.connections.get_mut(key)?.probing = Probing::default();
            return None;
        };
        if !unanswered && self.send_train(now, key, section) {
            if let Some(transport) = self.connections.get_mut(key) {
                transport.probing.unanswered = true;
            }
            self.wait_longer(now, key);
        } else {
            // Without padding that the client understands, or without feedback on it, the only test is to send the
            // video itself. If a client's audio has no transport-wide sequence numbers, the loss of a burst's last
            // packet is never reported.
            self.resume(now, key, section);
        }
        self.connections.get(key)?.probing.next_at
    }

    fn send_train(&mut self, now: Micros, key: TransportKey, section: SubscriptionKey) -> bool {
        let Some(subscription) = self.tracks.subscription_mut(section) else { return false };
        let transport = self.connections.get_mut(key);
        let Some(mut outlet) = transport.and_then(Transport::outlet) else { return false };
        let measures = subscription.measures();
        if measures {
            outlet.send_train(now, &mut self.egress, TRAIN_PACKETS, |departure, sealer, buf| {
                subscription.write_padding(departure, sealer, buf)
            });
        }
        measures
    }

    fn on_measured(&mut self, now: Micros, key: TransportKey, rate: u64) {
        let Some(section) = self.next_to_resume(now, key) else { return };
        let open: u64 = self.open_sections(key).iter().map(|open| self.tracks.rate_of(now, *open)).sum();
        let needed = (open + self.tracks.rate_of(now, section)) * HEADROOM_PERCENT / 100;
        tracing::debug!(rate, needed, "a subscriber's path was measured");
        if rate >= needed {
            self.resume(now, key, section);
        }
    }

    fn resume(&mut self, now: Micros, key: TransportKey, section: SubscriptionKey) {
        let Some(subscription) = self.tracks.subscription_mut(section) else { return };
        subscription.flow.starved = false;
        subscription.rewrite.leave();
        self.tracks.start(section);
        self.tell_quality(section, FULL_QUALITY, None);
        // The wait is not reset, so that a path that fills up again soon is left alone for longer.
        let more = self.next_to_resume(now, key).is_some();
        if let Some(transport) = self.connections.get_mut(key) {
            let at = more.then_some(now + FIRST_PROBE_MICROS);
            transport.probing.next_at = at;
            if let Some(at) = at {
                self.connections.schedule(key, at);
            }
        }
    }

    /// The narrowest section that is held back.
    fn next_to_resume(&mut self, now: Micros, key: TransportKey) -> Option<SubscriptionKey> {
        let starved: Vec<_> = self
            .connections
            .sends(key)
            .into_iter()
            .filter(|section| self.tracks.subscription(*section).is_some_and(|s| s.flow.starved))
            .collect();
        starved.into_iter().min_by_key(|section| self.tracks.rate_of(now, *section))
    }

    fn open_sections(&self, key: TransportKey) -> Vec<SubscriptionKey> {
        let sections = self.connections.sends(key).into_iter();
        sections.filter(|section| self.tracks.is_open(*section)).collect()
    }
}
