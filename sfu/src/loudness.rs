//! The loudness of a microphone, from the audio levels in its packets (RFC 6464), and the choice of the loudest in a room.

use crate::time::Micros;

/// The sound of so many microphones of a large room is sent.
pub(crate) const MAX_CHOSEN: usize = 3;
/// The level from which a packet counts as voice: 56 dB below full scale. Rooms and keyboards are mostly below it.
const VOICE: f32 = 0.2;
/// The packets of voice in a row that are taken for speech rather than for a click.
const SPEECH_PACKETS: u8 = 2;
/// Silence of this length ends what is being said.
const PAUSE_MICROS: u64 = 500_000;
/// A speaker who has been silent for this long gives way to the next one: longer than most pauses between words, and so short
/// that the lead still contains the beginning of what the next one says.
const GIVE_WAY_MICROS: u64 = 240_000;
/// A speaker gives way to another one who is this much louder on average.
const LOUDER: f32 = 0.1;
/// What is sent of the sound before the speech was noticed, as it begins with the softer consonants, and the most that is
/// sent of the sound before a speaker was chosen.
const LEAD_MICROS: u64 = 60_000;
const MAX_LEAD_MICROS: u64 = 400_000;

/// The level of a track.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loudness {
    /// From 0 (silent) to 1, a moving average over about 20 packets.
    pub(crate) level: f32,
    /// Whether the packets carry a level.
    pub(crate) is_known: bool,
    /// The packets of voice in a row so far.
    run: u8,
    /// The first and the newest packet of voice since the last pause.
    voice: Option<(Micros, Micros)>,
}

impl Loudness {
    /// Adds the level of a packet in -dBov, where 127 is silence (RFC 6464).
    pub(crate) fn sample(&mut self, now: Micros, minus_dbov: u8) {
        // Speech lies between about 10 and 60 dB below full scale.
        let level = (1.0 - f32::from(minus_dbov.min(127)) / 70.0).max(0.0);
        self.level += (level - self.level) * 0.1;
        self.is_known = true;
        if level < VOICE {
            self.run = 0;
            return;
        }
        self.run = self.run.saturating_add(1);
        let begun = self.voice.filter(|(_, newest)| now < *newest + PAUSE_MICROS);
        self.voice = Some((begun.map_or(now, |(first, _)| first), now));
    }

    /// Whether the newest packets are speech.
    pub(crate) fn speaks(&self) -> bool {
        self.run >= SPEECH_PACKETS
    }

    /// How much of the sound before now belongs to what is being said.
    pub(crate) fn lead_micros(&self, now: Micros) -> u64 {
        self.voice.map_or(0, |(first, _)| (now - first + LEAD_MICROS).min(MAX_LEAD_MICROS))
    }

    /// Whether a place is kept.
    fn keeps_place(&self, now: Micros) -> bool {
        self.voice.is_some_and(|(_, newest)| now < newest + GIVE_WAY_MICROS)
    }
}

/// The index of the chosen track that gives way to a new speaker; `None` if all keep their places.
pub(crate) fn who_gives_way(now: Micros, speaker: &Loudness, chosen: &[Loudness]) -> Option<usize> {
    // Those who are silent come first, from the one whose pause is the longest; then the softest.
    let order = |it: &Loudness| {
        let keeps_place = it.keeps_place(now);
        (keeps_place, it.voice.filter(|_| !keeps_place).map(|(_, newest)| newest))
    };
    let softest = |a: &Loudness, b: &Loudness| a.level.total_cmp(&b.level);
    let (at, least) =
        chosen.iter().enumerate().min_by(|(_, a), (_, b)| order(a).cmp(&order(b)).then(softest(a, b)))?;
    (!least.keeps_place(now) || speaker.level > least.level + LOUDER).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET_MICROS: u64 = 20_000;

    /// A microphone whose packets have these levels, the newest of which comes `after` packets.
    fn heard(after: u64, levels: &[u8]) -> Loudness {
        let mut loudness = Loudness::default();
        for (at, level) in (after + 1 - levels.len() as u64..).zip(levels) {
            loudness.sample(Micros(at * PACKET_MICROS), *level);
        }
        loudness
    }

    const NOW: Micros = Micros(1_000 * PACKET_MICROS);

    #[test]
    fn speech_begins_with_the_second_packet_of_voice() {
        assert!(!heard(1_000, &[127, 127, 30]).speaks(), "a click");
        assert!(!heard(1_000, &[30, 127, 30]).speaks());
        let speaker = heard(1_000, &[127, 40, 30]);
        assert!(speaker.speaks());
        assert_eq!(speaker.lead_micros(NOW), PACKET_MICROS + LEAD_MICROS);
        assert_eq!(heard(1_000, &[30; 100]).lead_micros(NOW), MAX_LEAD_MICROS);
        assert_eq!(heard(1_000, &[127; 100]).lead_micros(NOW), 0);
    }

    #[test]
    fn a_pause_ends_an_utterance_and_a_gap_between_words_does_not() {
        let mut levels = vec![30; 10];
        levels.extend([127; 20]);
        levels.extend([30; 2]);
        assert_eq!(heard(1_000, &levels).lead_micros(NOW), MAX_LEAD_MICROS);
        levels.splice(10..30, [127; 30]);
        assert_eq!(heard(1_000, &levels).lead_micros(NOW), PACKET_MICROS + LEAD_MICROS);
    }

    #[test]
    fn the_longest_silent_gives_way_first() {
        let speaker = heard(1_000, &[40; 2]);
        let chosen = [heard(1_000, &[30; 50]), heard(900, &[30; 50]), heard(950, &[30; 50])];
        assert_eq!(who_gives_way(NOW, &speaker, &chosen), Some(1));
        let never = [chosen[0], chosen[1], heard(1_000, &[127; 50])];
        assert_eq!(who_gives_way(NOW, &speaker, &never), Some(2), "who has never spoken");
    }

    #[test]
    fn while_all_speak_only_somebody_louder_is_let_in() {
        let chosen = [heard(1_000, &[30; 50]), heard(990, &[35; 50]), heard(1_000, &[25; 50])];
        assert_eq!(who_gives_way(NOW, &heard(1_000, &[30; 50]), &chosen), None, "about as loud");
        assert_eq!(who_gives_way(NOW, &heard(1_000, &[20; 50]), &chosen), Some(1), "the softest gives way");
        assert_eq!(who_gives_way(NOW, &heard(1_000, &[20; 2]), &chosen), None, "not yet");
    }
}
