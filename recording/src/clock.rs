//! Determines when a frame was captured, on a timeline shared by audio and video.
//!
//! A stream is first placed by the arrival of its packets, as early as the fastest packet allows. Sender reports then
//! relate the publisher's clocks to each other, and the video is aligned with the audio.

/// The largest correction by a report, in microseconds; a report that implies a larger one is wrong.
const MAX_CORRECTION_MICROS: i64 = 5_000_000;

/// Maps the RTP timestamps of one stream to microseconds.
#[derive(Clone, Debug)]
pub(crate) struct StreamClock {
    rate: i64,
    /// The newest timestamp, extended to 64 bits.
    newest: Option<i64>,
    /// The offset from the extended timestamps, in microseconds, to the timeline, estimated from arrivals alone.
    by_arrival: Option<i64>,
    /// The offset in use.
    base: Option<i64>,
    /// The newest sender report: the extended timestamp, and the publisher's wall clock in microseconds.
    report: Option<(i64, i64)>,
    /// A report that arrived before the first packet.
    early_report: Option<(u32, i64)>,
}

impl StreamClock {
    /// Creates a clock with this many ticks per second.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            rate: rate.into(),
            newest: None,
            by_arrival: None,
            base: None,
            report: None,
            early_report: None,
        }
    }

    /// Extends the timestamp to 64 bits.
    pub(crate) fn extend(&mut self, timestamp: u32) -> i64 {
        let extended = self.near(timestamp);
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        if let Some((early, ntp_micros)) = self.early_report.take() {
            self.on_report(early, ntp_micros);
        }
        extended
    }

    fn near(&self, timestamp: u32) -> i64 {
        match self.newest {
            None => timestamp.into(),
            Some(newest) => {
                let low = u32::try_from(newest & 0xffff_ffff).unwrap_or(0);
                newest + i64::from(timestamp.wrapping_sub(low).cast_signed())
            }
        }
    }

    /// Records the arrival of a packet with this timestamp.
    pub(crate) fn on_arrival(&mut self, extended: i64, arrival_micros: i64) {
        let offset = arrival_micros - self.micros(extended);
        self.by_arrival = Some(self.by_arrival.map_or(offset, |known| known.min(offset)));
    }

    /// Records a sender report.
    pub(crate) fn on_report(&mut self, timestamp: u32, ntp_micros: i64) {
        if self.newest.is_some() {
            self.report = Some((self.near(timestamp), ntp_micros));
        } else {
            self.early_report = Some((timestamp, ntp_micros));
        }
    }

    fn micros(&self, ticks: i64) -> i64 {
        i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(self.rate)).unwrap_or(0)
    }

    /// The capture time of a frame with this timestamp. The first call fixes the offset estimated from arrivals so far.
    pub(crate) fn place(&mut self, extended: i64) -> i64 {
        let base = *self.base.get_or_insert(self.by_arrival.unwrap_or(0));
        base + self.micros(extended)
    }

    /// Whether a frame has been placed.
    pub(crate) fn is_settled(&self) -> bool {
        self.base.is_some()
    }

    /// The offset from the publisher's wall clock to the timeline, by this stream's placement and newest report.
    fn offset(&self) -> Option<i64> {
        let (ticks, ntp_micros) = self.report?;
        Some(self.base.or(self.by_arrival)? + self.micros(ticks) - ntp_micros)
    }

    /// Aligns this stream with another stream of the same publisher.
    pub(crate) fn follow(&mut self, leader: &Self) {
        let (Some(offset), Some((ticks, ntp_micros)), Some(by_arrival)) =
            (leader.offset(), self.report, self.by_arrival)
        else {
            return;
        };
        let base = ntp_micros + offset - self.micros(ticks);
        if (base - by_arrival).abs() <= MAX_CORRECTION_MICROS {
            self.base = Some(base);
        }
    }
}

/// The microseconds of an NTP timestamp.
pub(crate) fn ntp_micros(ntp: u64) -> i64 {
    i64::try_from((u128::from(ntp) * 1_000_000) >> 32).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_wrap() {
        let mut clock = StreamClock::new(90_000);
        assert_eq!(clock.extend(0xffff_ff00), 0xffff_ff00);
        assert_eq!(clock.extend(0x100), 0x1_0000_0100);
        assert_eq!(clock.extend(0xffff_ff80), 0xffff_ff80, "a late one");
        assert_eq!(clock.extend(0x200), 0x1_0000_0200);
    }

    #[test]
    fn the_quickest_packet_places_a_stream() {
        let mut clock = StreamClock::new(48_000);
        for (timestamp, arrival) in [(0, 50_000), (960, 62_000), (1_920, 99_000)] {
            let extended = clock.extend(timestamp);
            clock.on_arrival(extended, arrival);
        }
        assert_eq!(clock.place(0), 42_000);
        clock.on_arrival(2_880, 0);
        assert_eq!(clock.place(960), 62_000, "what was placed stays");
    }

    #[test]
    fn reports_bring_the_picture_to_the_sound() {
        let (mut sound, mut picture) = (StreamClock::new(48_000), StreamClock::new(90_000));
        // The video takes 70 ms longer to arrive.
        picture.on_report(9_000, 1_000_000);
        for (clock, timestamp, arrival) in [(&mut sound, 480, 1_000_000), (&mut picture, 9_000, 1_080_000)] {
            let extended = clock.extend(timestamp);
            clock.on_arrival(extended, arrival);
            clock.place(extended);
        }
        sound.on_report(480, 990_000);
        picture.follow(&sound);
        assert_eq!((sound.place(480), picture.place(9_000)), (1_000_000, 1_010_000));
        picture.on_report(9_000, 60_000_000);
        picture.follow(&sound);
        assert_eq!(picture.place(9_000), 1_010_000, "a minute is no correction");
    }
}
