//! Follows what a subscriber's path can carry.
//!
//! Audio is always sent. For a client that reports the arrival of each packet, `congestion` estimates the path: video is
//! chosen anew at once when the path is found full, and otherwise a few times a second, and probes of padding prove that
//! the next better choice fits before it is sent. A client that reports less is sent everything until its loss, or the
//! limit that it states, is exceeded; then the next better choice is tried from time to time.

use super::Shard;
use super::tracks::Tracks;
use crate::codec::MediaKind;
use crate::keys::{SubscriptionKey, TransportKey};
use crate::rtcp::{ReceptionReport, TwccFeedback};
use crate::subscription::Subscription;
use crate::time::Micros;
use crate::transport::Probing;

/// The loss, in percent, from which the path of a client that does not report each packet counts as full.
const HEAVY_LOSS_PERCENT: u64 = 25;
/// The first wait before a better choice is tried on such a path, and the longest one.
const FIRST_TRY_MICROS: u64 = 3_000_000;
const LAST_TRY_MICROS: u64 = 48_000_000;
/// The bitrate that such a path is expected to carry when a better choice is tried, as a percentage of what that needs.
const TRY_PERCENT: u64 = 130;
/// The interval at which video is chosen anew while a path is not full.
const CHOICE_MICROS: u64 = 200_000;
/// The bitrate that probes prove before a better choice is sent, as a percentage of what that needs: somewhat more than
/// the allocation requires.
const GOAL_PERCENT: u64 = 120;
/// The queue, in microseconds, from which even the least choice may be given up.
const PAUSE_MICROS: u64 = 100_000;
/// The loss from which it may, too, of a thousand packets: what is left of less can be repaired.
const PAUSE_LOST_PER_MILLE: u32 = 400;
/// Maximum number of packets of padding that are sent at once.
const MAX_PADDING: usize = 32;

impl Shard {
    /// Handles the report on the packets of a path.
    pub(super) fn on_path_feedback(&mut self, now: Micros, key: TransportKey, feedback: &TwccFeedback<'_>) {
        let Some(transport) = self.connections.get_mut(key) else { return };
        transport.sender.on_feedback(now, feedback.arrivals());
        if transport.sender.is_full() || now >= transport.probing.chosen_at + CHOICE_MICROS {
            self.follow(now, key);
        }
        let transport = self.connections.get_mut(key);
        let controller = transport.and_then(|transport| transport.sender.controller(now));
        if let Some(at) = controller.and_then(|controller| controller.poll_timeout(now)) {
            self.connections.schedule(key, at);
        }
    }

    /// Chooses the video by what is known about the path, and tells the estimator what would be useful.
    fn follow(&mut self, now: Micros, key: TransportKey) {
        let is_less = self.select(now, key);
        let step = self.next_step(now, key);
        let demand = self.demand(now, key);
        let Some(transport) = self.connections.get_mut(key) else { return };
        transport.probing.chosen_at = now;
        transport.sender.settle();
        transport.sender.set_chosen(demand);
        let Some(controller) = transport.sender.controller(now) else { return };
        if is_less {
            let limit = controller.budget();
            tracing::debug!(limit, "a subscriber's path is full: less video is sent");
        }
        let goal = step.map_or(0, |step| (demand + step) * GOAL_PERCENT / 100);
        controller.set_goal(goal);
    }

    /// The bitrate for the video of a path, if it is limited. `sent` and `least` are the bitrates of the video that is sent
    /// now, and of the least choice of every track.
    pub(super) fn video_budget(
        &mut self,
        now: Micros,
        key: TransportKey,
        sent: u64,
        least: u64,
    ) -> Option<u64> {
        let sound = self.sound_rate(now, key);
        let is_reported = self.has_path_feedback(key);
        let transport = self.connections.get_mut(key)?;
        let is_full = transport.sender.is_full();
        let Some(controller) = transport.sender.controller(now).filter(|_| is_reported) else {
            return transport.budget.map(|budget| budget.saturating_sub(sound));
        };
        let budget = controller.budget().saturating_sub(sound);
        if is_full {
            // A picture is given up only for more than a moment's jitter or chance.
            let is_certain = controller.queued_micros() >= PAUSE_MICROS
                || controller.lost_per_mille() >= PAUSE_LOST_PER_MILLE;
            return Some(if is_certain { budget } else { budget.max(least.min(sent)) });
        }
        // What is sent already is given up only when the path is full, and the least of everything is worth a try.
        let unproven = if controller.has_met_limit() { 0 } else { least * GOAL_PERCENT / 100 };
        Some(budget.max(sent).max(unproven))
    }

    /// Whether the client has agreed to report the arrival of the packets of a section.
    fn has_path_feedback(&self, key: TransportKey) -> bool {
        let Some(transport) = self.connections.get(key) else { return false };
        let mut sections = transport.sends().filter_map(|section| self.tracks.subscription(section));
        sections.any(Subscription::has_path_feedback)
    }

    /// Whether there is an estimate of the path.
    pub(super) fn is_estimated(&mut self, now: Micros, key: TransportKey) -> bool {
        let transport = self.connections.get_mut(key);
        transport.is_some_and(|transport| transport.sender.controller(now).is_some())
            && self.has_path_feedback(key)
    }

    /// Applies the bandwidth limit that a receiver estimated itself (REMB).
    pub(super) fn on_remb(&mut self, now: Micros, key: TransportKey, limit: u64) {
        let demand = self.demand(now, key);
        if demand > limit + limit / 4 && !self.is_estimated(now, key) {
            self.hold_back(now, key, limit);
        }
    }

    /// Uses the reported packet loss for a receiver for which there is no other estimate.
    pub(super) fn on_reception(&mut self, now: Micros, key: TransportKey, report: &ReceptionReport) {
        self.note_round_trip(now, key, report);
        if let Some(section) = self.subscription_of(key, report.ssrc)
            && let Some(subscription) = self.tracks.subscriptions.get_mut(section)
        {
            subscription.fraction_lost = report.fraction_lost;
        }
        let lost = u64::from(report.fraction_lost);
        if lost * 100 < HEAVY_LOSS_PERCENT * 256 || self.is_estimated(now, key) {
            return;
        }
        let Some(section) = self.subscription_of(key, report.ssrc) else { return };
        if self.tracks.subscription(section).is_some_and(|section| section.kind == MediaKind::Video) {
            let demand = self.demand(now, key);
            self.hold_back(now, key, demand * (256 - lost) / 256);
        }
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
        let Some(transport) = self.connections.get_mut(key) else { return };
        let probing = &mut transport.probing;
        probing.waited = (probing.waited * 2).clamp(FIRST_TRY_MICROS, LAST_TRY_MICROS);
        let at = now + probing.waited;
        probing.next_at = Some(at);
        self.connections.schedule(key, at);
    }

    /// Finds out whether the path carries more, if that is due, and returns the time of the next call.
    pub(super) fn probe(&mut self, now: Micros, key: TransportKey) -> Option<Micros> {
        if self.is_estimated(now, key) {
            return self.send_probe(now, key);
        }
        let transport = self.connections.get_mut(key)?;
        let at = transport.probing.next_at?;
        if at > now {
            return Some(at);
        }
        // The only test is to send the video itself.
        self.raise(now, key);
        self.connections.get(key)?.probing.next_at
    }

    /// Sends the padding that a running probe lacks.
    fn send_probe(&mut self, now: Micros, key: TransportKey) -> Option<Micros> {
        let sections = self.connections.sends(key);
        let Tracks { subscriptions, .. } = &mut self.tracks;
        let measures = |key: &SubscriptionKey| subscriptions.get(*key).is_some_and(Subscription::measures);
        let section = sections.into_iter().find(measures)?;
        let subscription = subscriptions.get_mut(section)?;
        let transport = self.connections.get_mut(key)?;
        let missing = transport.sender.controller(now).map_or(0, |controller| controller.probe(now));
        let mut outlet = transport.outlet()?;
        for _ in 0..(missing / Subscription::PADDING_BYTES).min(MAX_PADDING) {
            outlet.send(now, &mut self.egress, true, |departure, sealer, buf| {
                subscription.write_padding(departure, sealer, buf)
            });
        }
        transport.sender.controller(now).and_then(|controller| controller.poll_timeout(now))
    }

    /// Sends the next better choice of video.
    fn raise(&mut self, now: Micros, key: TransportKey) {
        let step = self.next_step(now, key);
        let demand = self.demand(now, key);
        let Some(transport) = self.connections.get_mut(key) else { return };
        let Some(step) = step else {
            (transport.probing, transport.budget) = (Probing::default(), None);
            return;
        };
        transport.budget = Some((demand + step) * TRY_PERCENT / 100);
        self.select(now, key);
        // The wait is not reset, so that a path that fills up again soon is left alone for longer.
        let more = self.next_step(now, key).is_some();
        if let Some(transport) = self.connections.get_mut(key) {
            if !more {
                transport.budget = None;
            }
            let at = more.then_some(now + FIRST_TRY_MICROS);
            transport.probing.next_at = at;
            if let Some(at) = at {
                self.connections.schedule(key, at);
            }
        }
    }

    /// Chooses video anew for a client that does not report, or has ceased to.
    pub(super) fn choose_without_reports(&mut self, now: Micros, key: TransportKey) {
        let transport = self.connections.get_mut(key);
        if transport.is_some_and(|transport| transport.sender.controller(now).is_none()) {
            self.select(now, key);
        }
    }

    /// The bitrate of all that is sent.
    pub(super) fn demand(&mut self, now: Micros, key: TransportKey) -> u64 {
        let open = self.open_sections(key);
        open.into_iter().map(|section| self.tracks.rate_of(now, section)).sum()
    }

    fn open_sections(&self, key: TransportKey) -> Vec<SubscriptionKey> {
        let sections = self.connections.sends(key).into_iter();
        sections.filter(|section| self.tracks.is_open(*section)).collect()
    }
}
