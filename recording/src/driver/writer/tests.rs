use std::fs;
use std::path::Path;

use sfu::Config;
use sfu::codec::{Codec, MediaKind};
use sfu::driver::Worker;
use signaling_core::message::TrackSource;
use signaling_core::testing::SeededEntropy;

use super::super::config::RecorderConfig;
use super::super::feed::feed;
use super::super::files::Next;
use super::*;
use crate::index::Index;
use crate::index::testing::entry;
use crate::retention::Retention;
use crate::track::Packet;

/// A writer without its thread, and the room that it records.
struct World {
    writer: Writer,
    index: Arc<Index>,
    room: RoomId,
    // The other ends of its channels, kept open.
    _intake: Intake,
    _workers: Vec<Worker>,
}

fn world(folder: &Path, retention: Retention) -> World {
    let server = "192.0.2.1:3478".parse().unwrap();
    let (sfu, workers) = sfu::driver::open(Config::new(vec![server], [7; 32]), now()).unwrap();
    let index = Arc::new(Index::open(folder).unwrap());
    let config =
        RecorderConfig { folder: folder.to_owned(), fsync: false, ffmpeg: None, retention, store: None };
    let (feed, intake) = feed();
    let files = Files::new(&config, Arc::clone(&index), Next::default(), Box::new(|_, _| ()));
    let writer = Writer::new(files, sfu, feed);
    World { writer, index, room: "standup".parse().unwrap(), _intake: intake, _workers: workers }
}

impl World {
    /// Saves an old recording with its file.
    fn save_old(&self, state: EntryState, bytes: u64) -> Entry {
        let old = Entry { state, bytes, ..entry(bytes) };
        self.index.save(&old).unwrap();
        fs::write(self.index.path(&old), "media").unwrap();
        old
    }

    /// Records one second of audio.
    fn record(&mut self) {
        let mut entropy = SeededEntropy::new(1);
        let (peer, room) = (PeerId::random(&mut entropy), self.room.clone());
        let track: Arc<str> = "microphone".into();
        self.handle(Note::Start { room, life: LifeId::random(&mut entropy), everybody: true });
        let source = TrackSource::Microphone;
        let published = TapTrack { track: Arc::clone(&track), peer, kind: MediaKind::Audio, source };
        self.handle(Note::Published { room: self.room.clone(), track: published });
        for n in 0..50_u32 {
            let packet = Packet {
                at: now(),
                position: n.into(),
                generation: 0,
                timestamp: n * 960,
                marker: false,
                rotation: None,
                codec: Codec::Opus,
                payload: [0xf8, 0xff, 0xfe].into(),
            };
            self.handle(Note::Packet { room: self.room.clone(), track: Arc::clone(&track), packet });
        }
    }

    fn handle(&mut self, note: Note) {
        assert!(!self.writer.handle(note), "only a shutdown ends it");
    }

    fn is_there(&self, entry: &Entry) -> bool {
        let is_known = self.index.get(entry.recording).is_some();
        assert_eq!(self.index.path(entry).exists(), is_known);
        is_known
    }
}

#[test]
fn the_end_of_a_recording_takes_the_oldest_away_and_nothing_that_is_not_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(folder.path(), Retention { age: None, bytes: Some(1 << 20) });
    let oldest = world.save_old(EntryState::Ready, 1 << 19);
    let newer = world.save_old(EntryState::Ready, 1 << 20);
    let busy = world.save_old(EntryState::Finalising, 1);
    world.record();
    world.writer.turn();
    assert!(world.is_there(&oldest) && world.is_there(&newer), "nothing has ended yet");

    world.handle(Note::Stop { room: world.room.clone() });
    let known = world.index.all();
    assert_eq!(known.len(), 4, "a file was written: {known:?}");
    for _ in 0..4 {
        world.writer.turn();
    }
    assert!(!world.is_there(&oldest) && !world.is_there(&newer));
    assert!(world.is_there(&busy));
    let new = known.iter().max_by_key(|entry| entry.started_at).unwrap();
    assert!(world.is_there(new), "what is left fits");
    assert!(world.writer.files.sweeper.rest(now()) > Duration::ZERO, "and nothing more is due");
}
