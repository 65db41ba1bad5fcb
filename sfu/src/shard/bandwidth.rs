//! Selects the video to send when a path is too narrow for all of it.
//!
//! Audio is always sent. When a path is full, its video is sent in lesser layers or not at all; from time to time a short
//! burst of padding measures whether the next better choice fits again.

use super::Shard;
use super::tracks::Tracks;
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
        let demand = self.demand(now, key);
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
        let demand = self.demand(now, key);
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

    /// Sends no more than fits this limit.
    fn hold_back(&mut self, now: Micros, key: TransportKey, limit: u64) {
        let Some(transport) = self.connections.get_mut(key) else { return };
        transport.budget = Some(limit);
        if self.select(now, key) {
            tracing::debug!(limit, "a subscriber's path is full: less video is sent");
            self.wait_longer(now, key);
        } else if self.next_step(now, key).is_none()
            && let Some(transport) = self.connections.get_mut(key)
        {
            // All video fits.
            transport.budget = None;
        }
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
        if self.next_step(now, key).is_none() {
            let transport = self.connections.get_mut(key)?;
            (transport.probing, transport.budget) = (Probing::default(), None);
            return None;
        }
        if !unanswered && self.send_train(now, key) {
            if let Some(transport) = self.connections.get_mut(key) {
                transport.probing.unanswered = true;
            }
            self.wait_longer(now, key);
        } else {
            // Without padding that the client understands, or without feedback on it, the only test is to send the
            // video itself. If a client's audio has no transport-wide sequence numbers, the loss of a burst's last
            // packet is never reported.
            self.raise(now, key);
        }
        self.connections.get(key)?.probing.next_at
    }

    fn send_train(&mut self, now: Micros, key: TransportKey) -> bool {
        let sections = self.connections.sends(key);
        let Tracks { subscriptions, .. } = &mut self.tracks;
        let measures = |key: &SubscriptionKey| subscriptions.get(*key).is_some_and(Subscription::measures);
        let section = sections.into_iter().find(measures);
        let Some(subscription) = section.and_then(|key| subscriptions.get_mut(key)) else { return false };
        let Some(mut outlet) = self.connections.get_mut(key).and_then(Transport::outlet) else {
            return false;
        };
        outlet.send_train(now, &mut self.egress, TRAIN_PACKETS, |departure, sealer, buf| {
            subscription.write_padding(departure, sealer, buf)
        });
        true
    }

    fn on_measured(&mut self, now: Micros, key: TransportKey, rate: u64) {
        let Some(step) = self.next_step(now, key) else { return };
        let needed = (self.demand(now, key) + step) * HEADROOM_PERCENT / 100;
        tracing::debug!(rate, needed, "a subscriber's path was measured");
        if rate >= needed {
            self.raise(now, key);
        }
    }

    /// Sends the next better choice of video.
    fn raise(&mut self, now: Micros, key: TransportKey) {
        let Some(step) = self.next_step(now, key) else { return };
        let budget = (self.demand(now, key) + step) * HEADROOM_PERCENT / 100;
        if let Some(transport) = self.connections.get_mut(key) {
            transport.budget = Some(budget);
        }
        self.select(now, key);
        // The wait is not reset, so that a path that fills up again soon is left alone for longer.
        let more = self.next_step(now, key).is_some();
        if let Some(transport) = self.connections.get_mut(key) {
            if !more {
                transport.budget = None;
            }
            let at = more.then_some(now + FIRST_PROBE_MICROS);
            transport.probing.next_at = at;
            if let Some(at) = at {
                self.connections.schedule(key, at);
            }
        }
    }

    /// The bitrate of all that is sent.
    fn demand(&mut self, now: Micros, key: TransportKey) -> u64 {
        let open = self.open_sections(key);
        open.into_iter().map(|section| self.tracks.rate_of(now, section)).sum()
    }

    fn open_sections(&self, key: TransportKey) -> Vec<SubscriptionKey> {
        let sections = self.connections.sends(key).into_iter();
        sections.filter(|section| self.tracks.is_open(*section)).collect()
    }
}
