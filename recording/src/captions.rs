//! The captions of a recorded room, as a `WebVTT` file beside each recording.
//!
//! A program sends what it has recognised so far, line by line, and at last the final line of a sentence. Only final
//! lines are kept. A cue begins with the first line of its sentence. If the final line is the only one, it was spoken
//! before it was sent, so the cue begins as long before it as reading it takes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use signaling_core::message::Name;
use signaling_core::room::Caption;

/// The first bytes of a file.
pub(crate) const HEAD: &str = "WEBVTT\n";
/// The extension of a file.
pub(crate) const EXTENSION: &str = "vtt";
/// The most sources that may be in a sentence at a time.
const SOURCES: usize = 64;
/// The time that a character takes to speak, and the least and most for a sentence.
const CHARACTER: Duration = Duration::from_millis(65);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(7);

/// The sentences that have begun.
#[derive(Debug, Default)]
pub(crate) struct Sentences {
    begun: HashMap<Name, Instant>,
    /// When the newest cue begins: none may begin before an earlier one in the file.
    newest: Option<Instant>,
}

/// A sentence, and when it was spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cue {
    pub(crate) source: Name,
    from: Instant,
    to: Instant,
    text: String,
}

impl Sentences {
    /// Handles a line. Returns the cue that it ends.
    pub(crate) fn hear(&mut self, now: Instant, caption: &Caption) -> Option<Cue> {
        if !caption.is_final {
            if self.begun.len() < SOURCES {
                self.begun.entry(caption.source.clone()).or_insert(now);
            }
            return None;
        }
        let length = u32::try_from(caption.text.chars().count()).unwrap_or(u32::MAX);
        let spoken = CHARACTER.saturating_mul(length).clamp(SHORTEST, LONGEST);
        let begun = self.begun.remove(&caption.source);
        let from = begun.or_else(|| now.checked_sub(spoken)).unwrap_or(now);
        let from = self.newest.map_or(from, |newest| from.max(newest));
        self.newest = Some(from);
        Some(Cue { source: caption.source.clone(), from, to: now, text: caption.text.to_string() })
    }
}

impl Cue {
    /// The cue in a file whose media begins at `start`; `None` if it was spoken before that.
    pub(crate) fn written(&self, start: Instant, speaker: &str) -> Option<String> {
        let to = self.to.checked_duration_since(start)?;
        let from = self.from.saturating_duration_since(start);
        let mut text = format!("\n{} --> {}\n<v ", time(from), time(to.max(from + SHORTEST)));
        escape(&mut text, speaker);
        text.push('>');
        escape(&mut text, &self.text);
        text.push('\n');
        Some(text)
    }
}

/// A time in the form of `WebVTT`.
fn time(at: Duration) -> String {
    let (seconds, millis) = (at.as_secs(), at.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Appends text so that it neither ends the cue nor is read as a tag: an empty line would do the one, `<` the other. An
/// escaped `>` also keeps `-->` out.
fn escape(into: &mut String, text: &str) {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    for (n, word) in words.enumerate() {
        if n > 0 {
            into.push(' ');
        }
        for c in word.chars() {
            let _ = match c {
                '&' => into.write_str("&amp;"),
                '<' => into.write_str("&lt;"),
                '>' => into.write_str("&gt;"),
                c => into.write_char(c),
            };
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code; where the time begins does not matter"
)]
mod tests {
    use super::*;

    fn caption(source: &str, text: &str, is_final: bool) -> Caption {
        Caption { source: Name::parse(source).unwrap(), text: text.into(), is_final }
    }

    #[test]
    fn a_cue_lasts_from_the_first_line_of_its_sentence_to_the_final_one() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut sentences = Sentences::default();
        assert_eq!(sentences.hear(at(61_000), &caption("Ada", "Good", false)), None);
        assert_eq!(sentences.hear(at(62_000), &caption("Bob", "Hello", false)), None);
        assert_eq!(sentences.hear(at(63_000), &caption("Ada", "Good mor", false)), None);
        let cue = sentences.hear(at(64_500), &caption("Ada", "Good morning.", true)).unwrap();
        assert_eq!(
            cue.written(start, "Ada").unwrap(),
            "\n00:01:01.000 --> 00:01:04.500\n<v Ada>Good morning.\n"
        );
        let next = sentences.hear(at(66_000), &caption("Ada", "Ten characters and ten more.", true)).unwrap();
        assert_eq!(
            next.written(start, "Ada").unwrap().lines().nth(1).unwrap(),
            "00:01:04.180 --> 00:01:06.000",
            "a line alone was spoken before it came"
        );
        let late = sentences.hear(at(67_000), &caption("Bob", "Hello there", true)).unwrap();
        assert_eq!(
            late.written(start, "Bob").unwrap().lines().nth(1).unwrap(),
            "00:01:04.180 --> 00:01:07.000",
            "cues begin in the order of the file"
        );
    }

    #[test]
    fn a_file_has_what_was_spoken_since_it_began() {
        let start = Instant::now() + LONGEST;
        let cue = Sentences::default().hear(start, &caption("Ada", "Hello", true)).unwrap();
        assert_eq!(
            cue.written(start, "Ada").unwrap().lines().nth(1).unwrap(),
            "00:00:00.000 --> 00:00:01.000"
        );
        assert_eq!(cue.written(start + Duration::from_millis(1), "Ada"), None);
    }

    #[test]
    fn no_text_ends_a_cue_or_begins_a_tag() {
        let start = Instant::now();
        let text = "<b>1 & 2</b>\r\n\r\n00:00.000 --> 00:09.000\nforged\u{85}\u{2028}line";
        let cue = Sentences::default().hear(start, &caption("Ada", text, true)).unwrap();
        let written = cue.written(start, "A<b>&").unwrap();
        assert_eq!(
            written.lines().skip(2).collect::<Vec<_>>(),
            ["<v A&lt;b&gt;&amp;>&lt;b&gt;1 &amp; 2&lt;/b&gt; 00:00.000 --&gt; 00:09.000 forged line"]
        );
    }

    #[test]
    fn sources_that_never_finish_are_bounded() {
        let mut sentences = Sentences::default();
        for n in 0..10 * SOURCES {
            sentences.hear(Instant::now(), &caption(&format!("source {n}"), "a", false));
        }
        assert_eq!(sentences.begun.len(), SOURCES);
    }
}
