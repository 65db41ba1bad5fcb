//! Key frames of a track: the newest one received, and requests for another.

use crate::ring::PacketInfo;
use crate::time::Micros;

/// A subscriber that becomes able to receive within this time of a key frame starts from it,
/// because few frames follow it.
const FRESH_MICROS: u64 = 500_000;
/// A key frame this recent is probably still fresh when a connection in the making is established.
const EARLY_MICROS: u64 = FRESH_MICROS / 2;
/// The minimum interval between requests. It is longer than [`REST_MICROS`], or else each
/// repetition would be ignored, too.
const SPACING_MICROS: u64 = 350_000;
/// Chromium ignores a request within 300 ms of its last key frame.
const REST_MICROS: u64 = 300_000;
/// The time that a publisher needs to produce a key frame, in addition to the round-trip time.
const ANSWER_MICROS: u64 = 100_000;
/// The minimum interval between repetitions that come before [`SPACING_MICROS`].
const SOON_MICROS: u64 = 1_000_000;

/// The newest position in a track at which a decoder can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The position of the first packet.
    pub(crate) position: u64,
    pub(crate) generation: u32,
    timestamp: u32,
    at: Micros,
}

impl Entry {
    /// The entry after a packet at which a decoder can start, which arrived at `at`.
    pub(crate) fn after(known: Option<Self>, info: &PacketInfo, at: Micros) -> Self {
        let new =
            Self { position: info.position, generation: info.generation, timestamp: info.timestamp, at };
        match known {
            // Parameter sets and each slice of one picture are such packets; the picture begins with the first of them.
            Some(known) if known.generation == new.generation && known.timestamp == new.timestamp => {
                Self { position: known.position.min(new.position), ..known }
            }
            Some(known) if known.position > new.position => known,
            _ => new,
        }
    }

    /// The arrival time of the entry's first received packet.
    pub(crate) fn arrived_at(&self) -> Micros {
        self.at
    }

    /// Whether a new subscriber starts here instead of waiting for another key frame.
    pub(crate) fn is_fresh(&self, now: Micros) -> bool {
        now <= self.at + FRESH_MICROS
    }

    /// Whether the entry will probably still be fresh when a connection in the making is established.
    pub(crate) fn serves_early(&self, now: Micros) -> bool {
        now <= self.at + EARLY_MICROS
    }
}

/// Merges the requests of all subscribers for a key frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyframeRequest {
    wish: Option<Wish>,
    /// The time of the last request to the publisher.
    asked_at: Option<Micros>,
    /// The time of the last early repetition of a request.
    hurried_at: Option<Micros>,
    came_at: Option<Micros>,
}

/// A pending request for a key frame.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    /// The number of requests sent to the publisher for it.
    asked: u32,
}

impl KeyframeRequest {
    /// Requests a key frame.
    pub(crate) fn want(&mut self) {
        self.wish.get_or_insert_default();
    }

    /// Records that a key frame has arrived.
    pub(crate) fn satisfied(&mut self, now: Micros) {
        self.wish = None;
        self.came_at = Some(now);
    }

    /// The time of the next request to the publisher, given the round-trip time to it.
    pub(crate) fn due_at(&self, rtt_micros: u64) -> Option<Micros> {
        let Wish { asked } = self.wish?;
        let answer = rtt_micros + ANSWER_MICROS;
        let spaced = self.asked_at.map_or(Micros::default(), |at| match asked {
            0 => at + SPACING_MICROS,
            // The request may have been lost.
            1 if self.hurried_at.is_none_or(|hurried| at > hurried + SOON_MICROS) => at + answer,
            _ => at + SPACING_MICROS.max(answer),
        });
        let rested = self.came_at.map_or(Micros::default(), |at| at + REST_MICROS);
        Some(spaced.max(rested))
    }

    /// Records that a request was sent. The wish is kept until a key frame arrives.
    pub(crate) fn sent(&mut self, now: Micros) {
        let Some(wish) = &mut self.wish else { return };
        wish.asked = wish.asked.saturating_add(1);
        if wish.asked == 2 {
            self.hurried_at = Some(now);
        }
        self.asked_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(position: u64, timestamp: u32, generation: u32) -> PacketInfo {
        PacketInfo { position, timestamp, marker: false, payload_type: 96, starts_picture: true, generation }
    }

    #[test]
    fn a_picture_begins_with_its_parameter_sets() {
        let sps = Entry::after(None, &info(10, 90, 0), Micros(1_000));
        let idr = Entry::after(Some(sps), &info(12, 90, 0), Micros(1_200));
        assert_eq!(idr, sps);
        assert_eq!(Entry::after(Some(idr), &info(9, 90, 0), Micros(1_300)).position, 9, "one that came late");
        assert_eq!(Entry::after(Some(idr), &info(40, 180, 0), Micros(9_000)).position, 40);
        assert_eq!(Entry::after(Some(idr), &info(7, 45, 0), Micros(9_000)).position, 10, "an older picture");
        assert_eq!(Entry::after(Some(idr), &info(90, 90, 1), Micros(9_000)).position, 90, "another stream");
        assert!(idr.is_fresh(Micros(501_000)) && !idr.is_fresh(Micros(501_001)));
    }

    /// The times of the requests to a publisher whose key frames arrive this long after a request, or never.
    fn asked(rtt: u64, wishes: &[u64], answer: Option<u64>) -> Vec<u64> {
        let mut request = KeyframeRequest::default();
        let (mut asked, mut coming) = (Vec::new(), None);
        for now in (0..3_000_000).step_by(1_000) {
            if coming == Some(now) {
                request.satisfied(Micros(now));
            }
            if wishes.contains(&now) {
                request.want();
            }
            if request.due_at(rtt).is_some_and(|due| due <= Micros(now)) {
                request.sent(Micros(now));
                asked.push(now);
                coming = answer.map(|answer| now + answer);
            }
        }
        asked
    }

    #[test]
    fn a_request_is_repeated_after_a_round_trip_and_then_at_leisure() {
        assert_eq!(asked(40_000, &[0], None)[..4], [0, 140_000, 490_000, 840_000]);
        assert_eq!(
            asked(600_000, &[0], None)[..3],
            [0, 700_000, 1_400_000],
            "no sooner than an answer can come"
        );
        assert_eq!(asked(40_000, &[0], Some(60_000)), [0]);
    }

    #[test]
    fn nobody_is_asked_while_the_request_would_be_ignored() {
        assert_eq!(asked(1_000, &[0, 100_000], Some(60_000)), [0, 360_000]);
        assert_eq!(asked(1_000, &[0, 900_000], Some(60_000)), [0, 900_000]);
    }

    #[test]
    fn many_wishes_are_three_requests_a_second() {
        let wishes: Vec<_> = (0..300).map(|step| step * 10_000).collect();
        for answer in [None, Some(1_000), Some(30_000), Some(150_000), Some(500_000)] {
            let asked = asked(1_000, &wishes, answer);
            let most = asked
                .iter()
                .map(|from| asked.iter().filter(|at| (*from..from + 1_000_000).contains(at)).count());
            // One more, for a lost request.
            let bound = if answer.is_some_and(|answer| answer <= 100_000) { 3 } else { 4 };
            assert!(most.max() <= Some(bound), "{asked:?}");
        }
    }
}
