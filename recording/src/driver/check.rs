//! Verifies the notes of finished recordings against their files. This runs in the background, since a folder may hold
//! many.
//!
//! The results are kept in memory only, so that a restored file is valid again at the next start.

use std::fs::{self, File};
use std::io;

use signaling_core::message::TrackSource;
use signaling_core::{Entropy, LifeId};

use crate::captions::EXTENSION;
use crate::container::measure::measure;
use crate::index::{Entry, EntryState, Index, Stray};

/// The room of recordings whose note is lost.
const UNKNOWN_ROOM: &str = "unknown";

/// Checks every local recording that is ready, and the media files without a note.
pub(super) fn check(index: &Index, strays: Vec<Stray>, entropy: &mut dyn Entropy) {
    for entry in index.all() {
        if entry.state != EntryState::Ready || !entry.local {
            continue;
        }
        let Some(fault) = fault(index, &entry) else { continue };
        let mut is_told = false;
        index.update(entry.recording, |known| {
            // The recording may have changed in the meantime.
            if known.state == EntryState::Ready && known.bytes == entry.bytes {
                (known.state, known.error) = (EntryState::Failed, Some(fault.clone()));
                is_told = true;
            }
        });
        if is_told {
            tracing::warn!(recording = %entry.recording, room = %entry.room, error = fault, "a recording is not what it was");
        }
    }
    for stray in strays {
        if let Some(entry) = found(index, &stray, entropy) {
            tracing::warn!(recording = %stray.recording, file = stray.file, "of a recording only its file is left: it is listed by that");
            index.adopt(entry);
        }
    }
}

/// The error of a recording's file, if any.
fn fault(index: &Index, entry: &Entry) -> Option<String> {
    match fs::metadata(index.path(entry)) {
        Ok(file) if file.len() == 0 => Some("its file is empty".to_owned()),
        Ok(file) if file.len() < entry.bytes => {
            Some(format!("its file is cut short: {} of {} bytes are there", file.len(), entry.bytes))
        }
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("its file is gone".to_owned()),
        Err(error) => Some(format!("its file cannot be looked at: {error}")),
    }
}

/// An entry with the data that the file alone provides.
fn found(index: &Index, stray: &Stray, entropy: &mut dyn Entropy) -> Option<Entry> {
    let path = index.folder().join(&stray.file);
    let bytes = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
    let measured = File::open(&path).and_then(|mut file| measure(stray.container, &mut file));
    // Files written by ffmpeg cannot be measured.
    let duration = measured.map(|measured| measured.duration).unwrap_or_default();
    Some(Entry {
        recording: stray.recording,
        room: UNKNOWN_ROOM.parse().ok()?,
        life: LifeId::random(entropy),
        peer: None,
        name: None,
        source: TrackSource::Other,
        started_at: stray.started_at,
        ended_at: Some(stray.started_at + duration),
        state: if bytes == 0 { EntryState::Failed } else { EntryState::Ready },
        container: stray.container,
        rotation: 0,
        file: stray.file.clone(),
        bytes,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        codecs: Vec::new(),
        captions: path.with_extension(EXTENSION).exists(),
        lost_packets: 0,
        dropped_packets: 0,
        error: Some("what was known of it is lost".to_owned()),
        finalised: true,
        finalise_error: None,
        local: true,
        upload: None,
        upload_error: None,
    })
}

#[cfg(test)]
mod tests {
    use signaling_core::testing::SeededEntropy;

    use super::*;
    use crate::index::testing::entry;

    #[test]
    fn pages_have_every_recording_once_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        for seed in 1..=7 {
            index.adopt(entry(seed));
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = index.page(after, 2, |entry| entry.started_at.as_millis() != 4);
            let Some(last) = page.last() else { break };
            after = Some(last.recording);
            seen.extend(page.iter().map(|entry| entry.started_at.as_millis()));
        }
        assert_eq!(seen, [7, 6, 5, 3, 2, 1]);
        assert!(index.page(Some(entry(9).recording), 2, |_| true).is_empty(), "there is none of this name");
    }

    #[test]
    fn finished_recordings_are_shown_as_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        let ready = |seed| Entry { state: EntryState::Ready, bytes: 100, ..entry(seed) };
        for (seed, bytes) in [(1, Some(100)), (2, Some(60)), (3, Some(0)), (4, None)] {
            let entry = ready(seed);
            index.save(&entry).unwrap();
            if let Some(bytes) = bytes {
                fs::write(index.path(&entry), vec![0; bytes]).unwrap();
            }
        }
        let elsewhere = Entry { local: false, ..ready(5) };
        index.save(&elsewhere).unwrap();
        fs::write(folder.path().join("2026-11-21_04-00-00_abcdefghijklmnop.webm"), "media").unwrap();
        fs::write(folder.path().join("holiday.mp4"), "somebody else's").unwrap();
        check(&index, index.strays().unwrap(), &mut SeededEntropy::new(1));

        let state = |seed| {
            let known = index.get(ready(seed).recording).unwrap();
            (known.state, known.error.unwrap_or_default())
        };
        let failed = |why: &str| (EntryState::Failed, why.to_owned());
        assert_eq!(state(1), (EntryState::Ready, String::new()));
        assert_eq!(state(2), failed("its file is cut short: 60 of 100 bytes are there"));
        assert_eq!(state(3), failed("its file is empty"));
        assert_eq!(state(4), failed("its file is gone"));
        assert_eq!(state(5).0, EntryState::Ready, "it is in object storage");
        let stray = index.get("abcdefghijklmnop".parse().unwrap()).unwrap();
        assert_eq!((stray.state, stray.bytes), (EntryState::Ready, 5));
        assert_eq!(stray.started_at.to_string(), "2026-11-21T04:00:00Z");
        assert_eq!(index.all().len(), 6, "and nothing else");
        // The next start checks the files again.
        fs::write(index.path(&ready(4)), vec![0; 100]).unwrap();
        drop(index);
        assert_eq!(
            Index::open(folder.path()).unwrap().get(ready(4).recording).unwrap().state,
            EntryState::Ready
        );
    }
}
