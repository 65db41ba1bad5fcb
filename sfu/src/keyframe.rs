//! Pictures that a decoder can start with: the newest one that came, and the wish for another.

use crate::ring::PacketInfo;
use crate::time::Micros;

/// Whoever can receive so soon after a key frame starts from it: the frames since then are few.
const FRESH_MICROS: u64 = 500_000;
/// A key frame that was asked for so early, or came so recently, is probably still fresh when a connection stands.
const EARLY_MICROS: u64 = FRESH_MICROS / 2;
/// Publishers are asked no more often than this. It is longer than [`REST_MICROS`], or each repetition would be ignored too.
const SPACING_MICROS: u64 = 350_000;
/// Chromium ignores a request that comes within 300 ms of its last key frame.
const REST_MICROS: u64 = 300_000;
/// What a publisher needs for a key frame, the way there and back apart.
const ANSWER_MICROS: u64 = 100_000;
/// A request is repeated before [`SPACING_MICROS`] at most this often.
const SOON_MICROS: u64 = 1_000_000;

/// The newest place in a track where a decoder can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Of the first packet.
    pub(crate) position: u64,
    pub(crate) generation: u32,
    timestamp: u32,
    at: Micros,
}

impl Entry {
    /// The entry after a packet where a decoder can start, which arrived then.
    pub(crate) fn after(known: Option<Self>, info: &PacketInfo, at: Micros) -> Self {
        let new =
            Self { position: info.position, generation: info.generation, timestamp: info.timestamp, at };
        match known {
            // Parameter sets and each slice of one picture are such places: it begins with the first of them.
            Some(known) if known.generation == new.generation && known.timestamp == new.timestamp => {
                Self { position: known.position.min(new.position), ..known }
            }
            Some(known) if known.position > new.position => known,
            _ => new,
        }
    }

    /// When its first packet arrived.
    pub(crate) fn arrived_at(&self) -> Micros {
        self.at
    }

    /// Whether a newcomer starts here rather than wait for another key frame.
    pub(crate) fn is_fresh(&self, now: Micros) -> bool {
        now <= self.at + FRESH_MICROS
    }

    /// Whether it will probably be fresh when a connection stands that is only being made.
    pub(crate) fn serves_early(&self, now: Micros) -> bool {
        now <= self.at + EARLY_MICROS
    }
}

/// Merges everybody's wish for a key frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyframeRequest {
    wish: Option<Wish>,
    /// When the publisher was last asked.
    asked_at: Option<Micros>,
    /// When a request was last repeated before its time.
    hurried_at: Option<Micros>,
    came_at: Option<Micros>,
}

/// Somebody wants a key frame.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    /// Requests since.
    asked: u32,
}

impl KeyframeRequest {
    /// Somebody needs one.
    pub(crate) fn want(&mut self) {
        self.wish.get_or_insert_default();
    }

    /// One came.
    pub(crate) fn satisfied(&mut self, now: Micros) {
        self.wish = None;
        self.came_at = Some(now);
    }

    /// When to ask the publisher, who is so far away, in microseconds.
    pub(crate) fn due_at(&self, rtt_micros: u64) -> Option<Micros> {
        let Wish { asked } = self.wish?;
        let answer = rtt_micros + ANSWER_MICROS;
        let spaced = self.asked_at.map_or(Micros::default(), |at| match asked {
            0 => at + SPACING_MICROS,
            // The request may have got lost.
            1 if self.hurried_at.is_none_or(|hurried| at > hurried + SOON_MICROS) => at + answer,
            _ => at + SPACING_MICROS.max(answer),
        });
        let rested = self.came_at.map_or(Micros::default(), |at| at + REST_MICROS);
        Some(spaced.max(rested))
    }

    /// Notes that the publisher was asked. The wish stays until a key frame comes.
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

    /// When a publisher is asked whose key frames come so long after a request, or never.
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
            // One more where a request was lost.
            let bound = if answer.is_some_and(|answer| answer <= 100_000) { 3 } else { 4 };
            assert!(most.max() <= Some(bound), "{asked:?}");
        }
    }
}
