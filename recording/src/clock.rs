//! When a frame was made, on a time that sound and picture share.
//!
//! A stream is placed by the arrival of its packets at first: as early as the quickest of them allows. Sender reports
//! then say how the publisher's clocks lie to each other, and the picture is moved to where the sound is.

/// Reports that would move a stream further than this are wrong, in microseconds.
const MAX_CORRECTION_MICROS: i64 = 5_000_000;

/// Maps the RTP timestamps of one stream to microseconds.
#[derive(Clone, Debug)]
pub(crate) struct StreamClock {
    rate: i64,
    /// The newest timestamp, extended to 64 bits.
    newest: Option<i64>,
    /// What to add to the extended timestamps, by arrival alone.
    by_arrival: Option<i64>,
    /// What is added to them.
    base: Option<i64>,
    /// The newest sender report: extended timestamp, and the publisher's wall clock in microseconds.
    report: Option<(i64, i64)>,
    /// A report that came before the first packet.
    early_report: Option<(u32, i64)>,
}

impl StreamClock {
    /// For a clock of so many ticks a second.
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

    /// The timestamp without its wraps.
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

    /// Notes that a packet of this timestamp arrived.
    pub(crate) fn on_arrival(&mut self, extended: i64, arrival_micros: i64) {
        let offset = arrival_micros - self.micros(extended);
        self.by_arrival = Some(self.by_arrival.map_or(offset, |known| known.min(offset)));
    }

    /// Notes a sender report.
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

    /// When a frame of this timestamp was made. The first question settles what the arrivals so far say.
    pub(crate) fn place(&mut self, extended: i64) -> i64 {
        let base = *self.base.get_or_insert(self.by_arrival.unwrap_or(0));
        base + self.micros(extended)
    }

    /// Whether anything was placed.
    pub(crate) fn is_settled(&self) -> bool {
        self.base.is_some()
    }

    /// From the publisher's wall clock to the common time, by this stream's placement and newest report.
    fn offset(&self) -> Option<i64> {
        let (ticks, ntp_micros) = self.report?;
        Some(self.base.or(self.by_arrival)? + self.micros(ticks) - ntp_micros)
    }

    /// Moves this stream to where the other one of the same publisher is.
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

/// Microseconds of a time in NTP's format.
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
        // The picture takes 70 ms longer to come here.
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
