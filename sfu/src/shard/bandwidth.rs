//! Who gets pictures when a path is too narrow for all of them.
//!
//! Sound always goes out. When a path is full, its widest video section is held back; from time to time a short burst
//! of padding measures whether it would fit again.

use super::{SubscriptionKey, TransportKey, Worker};
use crate::codec::MediaKind;
use crate::congestion::HEAVY_LOSS_PERCENT;
use crate::path::MAX_DATAGRAM;
use crate::rtcp::ReceptionReport;
use crate::sender::PathNews;
use crate::subscription::Subscription;

/// First wait before a path is tried again, and the longest: when a burst can measure it, and when only the pictures can.
const FIRST_PROBE_MICROS: u64 = 3_000_000;
const LAST_PROBE_MICROS: u64 = 16_000_000;
const LAST_TRY_MICROS: u64 = 48_000_000;
/// Packets of a burst: some 12 KB, which delays what follows by 200 ms on a path of 500 kbit/s.
const TRAIN_PACKETS: usize = 40;
/// The path must carry so much more than is to be sent, in percent.
const HEADROOM_PERCENT: u64 = 130;

impl Worker {
    pub(super) fn on_path_news(&mut self, now_micros: u64, key: TransportKey, news: PathNews) {
        if news.measured.is_some()
            && let Some(transport) = self.transports.get_mut(key)
        {
            transport.probing.unanswered = false;
        }
        if let Some(limit) = news.full_at {
            self.hold_back(now_micros, key, limit);
        } else if let Some(rate) = news.measured {
            self.on_measured(now_micros, key, rate);
        }
    }

    /// A receiver that estimates by itself says how much it can take.
    pub(super) fn on_remb(&mut self, now_micros: u64, key: TransportKey, limit: u64) {
        let demand: u64 =
            self.open_sections(key).iter().map(|section| self.rate_of(now_micros, *section)).sum();
        if demand > limit + limit / 4 {
            self.hold_back(now_micros, key, limit);
        }
    }

    /// A receiver without any estimate, ours or its own, tells at least how much it lost.
    pub(super) fn on_reception(&mut self, now_micros: u64, key: TransportKey, report: &ReceptionReport) {
        let lost = u64::from(report.fraction_lost);
        if lost * 100 < HEAVY_LOSS_PERCENT * 256 {
            return;
        }
        let Some(section) = self.subscription_of(key, report.ssrc) else { return };
        let counts =
            |section: &Subscription| section.kind == MediaKind::Video && !section.has_path_feedback();
        if !self.subscriptions.get(section).is_some_and(counts) {
            return;
        }
        let open = self.open_sections(key);
        let demand: u64 = open.into_iter().map(|section| self.rate_of(now_micros, section)).sum();
        self.hold_back(now_micros, key, demand * (256 - lost) / 256);
    }

    /// Stops the widest video sections until what is left fits.
    fn hold_back(&mut self, now_micros: u64, key: TransportKey, limit: u64) {
        let mut sections: Vec<_> = self
            .open_sections(key)
            .into_iter()
            .map(|section| (self.rate_of(now_micros, section), section))
            .collect();
        let mut demand: u64 = sections.iter().map(|(rate, _)| *rate).sum();
        sections.sort_by_key(|(rate, _)| std::cmp::Reverse(*rate));
        let mut held = false;
        for (rate, section) in sections {
            let Some(subscription) = self.subscriptions.get_mut(section) else { continue };
            if demand <= limit {
                break;
            }
            if subscription.kind == MediaKind::Video {
                subscription.flow.starved = true;
                demand = demand.saturating_sub(rate);
                held = true;
            }
        }
        if held {
            tracing::debug!(limit, "a subscriber's path is full: video held back");
            self.wait_longer(now_micros, key);
        }
    }

    fn wait_longer(&mut self, now_micros: u64, key: TransportKey) {
        let sections = self.sections_to_send(key);
        let is_measurable = sections
            .iter()
            .any(|section| self.subscriptions.get(*section).is_some_and(Subscription::measures));
        let longest = if is_measurable { LAST_PROBE_MICROS } else { LAST_TRY_MICROS };
        let Some(transport) = self.transports.get_mut(key) else { return };
        let probing = &mut transport.probing;
        probing.waited = (probing.waited * 2).clamp(FIRST_PROBE_MICROS, longest);
        let at = now_micros + probing.waited;
        probing.next_at = Some(at);
        self.schedule(key, at);
    }

    /// Sends a burst that measures the path when it is time to, and says when to come back.
    pub(super) fn probe(&mut self, now_micros: u64, key: TransportKey) -> u64 {
        let Some(transport) = self.transports.get_mut(key) else { return u64::MAX };
        let Some(at) = transport.probing.next_at else { return u64::MAX };
        if at > now_micros {
            return at;
        }
        if transport.sender.awaits_train(now_micros) {
            return now_micros + 100_000;
        }
        let Some(section) = self.next_to_resume(now_micros, key) else {
            if let Some(transport) = self.transports.get_mut(key) {
                transport.probing = crate::transport::Probing::default();
            }
            return u64::MAX;
        };
        let unanswered = self
            .transports
            .get_mut(key)
            .is_some_and(|transport| std::mem::take(&mut transport.probing.unanswered));
        if !unanswered && self.send_train(now_micros, key, section) {
            if let Some(transport) = self.transports.get_mut(key) {
                transport.probing.unanswered = true;
            }
            self.wait_longer(now_micros, key);
        } else {
            // Without padding that the client understands, or reports, there is only one way to find out. A client whose sound
            // has no transport-wide numbers never reports past a burst whose last packet was lost.
            self.resume(now_micros, key, section);
        }
        self.transports.get(key).and_then(|transport| transport.probing.next_at).unwrap_or(u64::MAX)
    }

    fn send_train(&mut self, now_micros: u64, key: TransportKey, section: SubscriptionKey) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(section) else { return false };
        let Some(transport) = self.transports.get_mut(key) else { return false };
        let (Some(path), Some(keys)) = (transport.destination(), transport.keys.as_ref()) else {
            return false;
        };
        if !subscription.measures() {
            return false;
        }
        let first = transport.sender.next_sequence();
        for _ in 0..TRAIN_PACKETS {
            let departure = transport.sender.departure(now_micros);
            let len = self.egress.push_with(path, MAX_DATAGRAM, |buf| {
                subscription.write_padding(departure, &keys.sealer, buf)
            });
            if let Some(len) = len {
                transport.sender.sent(now_micros, len);
            }
        }
        transport.sender.train_left(first, now_micros);
        true
    }

    fn on_measured(&mut self, now_micros: u64, key: TransportKey, rate: u64) {
        let Some(section) = self.next_to_resume(now_micros, key) else { return };
        let open: u64 = self.open_sections(key).iter().map(|open| self.rate_of(now_micros, *open)).sum();
        let needed = (open + self.rate_of(now_micros, section)) * HEADROOM_PERCENT / 100;
        tracing::debug!(rate, needed, "a subscriber's path was measured");
        if rate >= needed {
            self.resume(now_micros, key, section);
        }
    }

    fn resume(&mut self, now_micros: u64, key: TransportKey, section: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.get_mut(section) else { return };
        subscription.flow.starved = false;
        subscription.rewrite.leave();
        self.start(section);
        // The wait stays what it was: a path that is full again soon is left alone for longer.
        let more = self.next_to_resume(now_micros, key).is_some();
        if let Some(transport) = self.transports.get_mut(key) {
            let at = more.then_some(now_micros + FIRST_PROBE_MICROS);
            transport.probing.next_at = at;
            if let Some(at) = at {
                self.schedule(key, at);
            }
        }
    }

    /// The narrowest section that is held back.
    fn next_to_resume(&mut self, now_micros: u64, key: TransportKey) -> Option<SubscriptionKey> {
        let starved: Vec<_> = self
            .sections_to_send(key)
            .into_iter()
            .filter(|section| self.subscriptions.get(*section).is_some_and(|s| s.flow.starved))
            .collect();
        starved.into_iter().min_by_key(|section| self.rate_of(now_micros, *section))
    }

    fn open_sections(&self, key: TransportKey) -> Vec<SubscriptionKey> {
        let is_open = |section: &SubscriptionKey| {
            self.subscriptions.get(*section).is_some_and(|subscription| subscription.flow.is_open())
        };
        self.sections_to_send(key).into_iter().filter(is_open).collect()
    }

    /// What the track in this section takes, in bits per second.
    fn rate_of(&mut self, now_micros: u64, section: SubscriptionKey) -> u64 {
        let publication = self.subscriptions.get(section).and_then(|subscription| subscription.publication);
        let publication = publication.and_then(|key| self.publications.get_mut(key));
        publication.map_or(0, |publication| publication.rate.bits_per_second(now_micros))
    }
}
