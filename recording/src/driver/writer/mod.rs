//! The writing thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use sfu::{Handle, TapTrack};
use signaling_core::message::{Name, RecordingState, Role};
use signaling_core::room::Caption;
use signaling_core::{Engine, LifeId, PeerId, RoomId, Timestamp};

use super::disk;
use super::entropy::SystemEntropy;
use super::feed::{Feed, Intake, Note};
use super::files::{Fault, Files, describe};
use super::room::{Group, RecordedRoom, Stream, StreamKey};
use super::time::{SIGN, now, wall_clock};
use crate::captions::Sentences;
use crate::container::Container;
use crate::index::{Entry, EntryState, RecordingId, file_name};
use crate::recording::{Output, Recording};

/// The interval at which the queue is read: waking the thread for each packet would cost more than handling it.
const TURN: Duration = Duration::from_millis(20);
/// The interval between two checks of the free disk space.
const DISK_CHECK: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    files: Files,
    sfu: Handle,
    feed: Feed,
    rooms: HashMap<RoomId, RecordedRoom>,
    people: HashMap<RoomId, HashMap<PeerId, Person>>,
    next_disk_check: Instant,
}

#[derive(Clone, Default)]
struct Person {
    role: Option<Role>,
    name: Option<Name>,
}

impl Writer {
    pub(super) fn new(files: Files, sfu: Handle, feed: Feed) -> Self {
        Self { files, sfu, feed, rooms: HashMap::new(), people: HashMap::new(), next_disk_check: now() }
    }

    /// Runs until it is told to shut down, or all senders are gone.
    pub(super) fn run(mut self, intake: &Intake, engine: &Engine) {
        loop {
            engine.sign();
            if self.rooms.is_empty() {
                match intake.wait(self.files.sweeper.rest(now()).min(SIGN)) {
                    Ok(note) => {
                        if self.handle(note) {
                            return;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                thread::sleep(TURN);
            }
            while let Some(note) = intake.take() {
                if self.handle(note) {
                    return;
                }
            }
            self.turn();
        }
    }

    /// Handles a note; `true` on shutdown.
    fn handle(&mut self, note: Note) -> bool {
        match note {
            Note::Start { room, life, everybody } => self.start(&room, life, everybody),
            Note::Stop { room } => self.stop(&room),
            Note::Peer { room, peer, role, name } => {
                let person = self.people.entry(room).or_default().entry(peer).or_default();
                person.role = role.or(person.role);
                person.name = name.or(person.name.take());
            }
            Note::Caption { room, at, caption } => self.on_caption(&room, at, &caption),
            Note::Gone { room, peer } => self.on_gone(&room, peer),
            Note::Ended { room } => {
                self.finish_room(&room, None);
                self.people.remove(&room);
            }
            Note::Published { room, track } => self.on_published(&room, &track),
            Note::Unpublished { room, track } => {
                if let Some(stream) = self.stream_of(&room, &track) {
                    stream.remove_track(now(), &track);
                }
                if let Some(recorded) = self.rooms.get_mut(&room) {
                    recorded.tracks.remove(&track);
                }
            }
            Note::Packet { room, track, packet } => {
                let at = packet.at;
                if let Some(stream) = self.stream_of(&room, &track) {
                    stream.recording.handle_packet(at, &track, packet);
                }
            }
            Note::Report { room, track, report } => {
                if let Some(stream) = self.stream_of(&room, &track) {
                    stream.recording.handle_report(&track, report);
                }
            }
            Note::Delete { recording } => self.delete(recording),
            Note::Shutdown { done } => {
                for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
                    self.finish_room(&room, None);
                }
                drop(done);
                return true;
            }
        }
        false
    }

    fn stream_of(&mut self, room: &RoomId, track: &str) -> Option<&mut Stream> {
        let recorded = self.rooms.get_mut(room)?;
        let key = recorded.tracks.get(track)?;
        recorded.streams.get_mut(key)
    }

    fn start(&mut self, room: &RoomId, life: LifeId, everybody: bool) {
        if let Some(recorded) = self.rooms.get_mut(room) {
            recorded.everybody |= everybody;
            return self.files.tell(room, RecordingState::Active, None);
        }
        if let Err(fault) = self.check_disk() {
            return self.fail(room, &fault);
        }
        let (tap, dropped) = self.feed.tap(room.clone());
        let recorded = RecordedRoom {
            life,
            everybody,
            streams: HashMap::new(),
            tracks: HashMap::new(),
            dropped,
            sentences: Sentences::default(),
        };
        if self.sfu.record(room.clone(), Some(tap)).is_err() {
            tracing::error!(%room, "the media server takes no recorder");
            return self.files.tell(room, RecordingState::Failed, None);
        }
        tracing::info!(%room, "recording");
        self.rooms.insert(room.clone(), recorded);
        self.files.tell(room, RecordingState::Active, None);
    }

    fn check_disk(&self) -> Result<(), Fault> {
        let folder = self.files.index.folder();
        disk::check_writable(folder).map_err(Fault::Folder)?;
        match disk::is_nearly_full(folder) {
            Ok(true) => Err(Fault::DiskFull),
            Ok(false) => Ok(()),
            Err(error) => Err(Fault::Folder(error)),
        }
    }

    fn stop(&mut self, room: &RoomId) {
        // Even if the room is not recorded, it is told that recording has stopped.
        self.finish_room(room, None);
        self.files.tell(room, RecordingState::Stopped, None);
    }

    fn fail(&mut self, room: &RoomId, fault: &Fault) {
        tracing::error!(%room, error = describe(fault), "the recording of a room ends");
        self.finish_room(room, Some(fault));
        self.files.tell(room, RecordingState::Failed, None);
    }

    /// Closes the files of a room.
    fn finish_room(&mut self, room: &RoomId, fault: Option<&Fault>) {
        let Some(mut recorded) = self.rooms.remove(room) else { return };
        if self.sfu.record(room.clone(), None).is_err() {
            tracing::error!(%room, "the media server keeps a recorder that is gone");
        }
        for (key, mut stream) in std::mem::take(&mut recorded.streams) {
            self.finish_stream(room, &recorded, key, &mut stream, fault);
        }
    }

    fn finish_stream(
        &mut self,
        room: &RoomId,
        recorded: &RecordedRoom,
        key: StreamKey,
        stream: &mut Stream,
        fault: Option<&Fault>,
    ) {
        let codecs = stream.recording.codecs();
        stream.recording.finish(now());
        // With a full disk, everything that still fits is written.
        if let Err(fault) = self.drain(room, recorded, key, stream) {
            tracing::warn!(%room, error = describe(&fault), "the last moments of a recording are lost");
        }
        let note = fault.map(describe);
        if let Some((mut entry, mut file)) = stream.open.take() {
            entry.error = note.clone().or(entry.error);
            let duration = file.drop_torn_end(entry.container).unwrap_or_else(|error| {
                tracing::warn!(recording = %entry.recording, %error, "a recording ends in half a fragment");
                Duration::from_millis(entry.duration_ms)
            });
            entry.duration_ms = 0;
            entry.codecs = codecs.into_iter().map(str::to_owned).collect();
            self.files.close(entry, &file, duration);
        }
        if let (Some(note), Some(last)) = (note, stream.last) {
            self.files.index.update(last, |entry| entry.error = entry.error.take().or(Some(note)));
            self.files.keep(last);
        }
    }

    fn on_published(&mut self, room: &RoomId, track: &TapTrack) {
        let people = self.people.get(room);
        let role = people.and_then(|people| people.get(&track.peer)).and_then(|person| person.role);
        let Some(recorded) = self.rooms.get_mut(room) else { return };
        if !recorded.everybody && role != Some(Role::Broadcaster) {
            return;
        }
        let key = (track.peer, Group::of(track.source));
        let seconds = wall_clock().as_millis() / 1_000;
        let new = || Stream::new(Recording::new(now()).with_wall_clock(seconds));
        recorded.streams.entry(key).or_insert_with(new).add_track(track);
        recorded.tracks.insert(Arc::clone(&track.track), key);
    }

    /// Writes what was said beside each file of the room that is open.
    fn on_caption(&mut self, room: &RoomId, at: Instant, caption: &Caption) {
        let Some(recorded) = self.rooms.get_mut(room) else { return };
        let Some(cue) = recorded.sentences.hear(at, caption) else { return };
        let people = self.people.get(room);
        let person = cue.source.as_str().parse().ok().and_then(|peer| people?.get(&peer));
        let speaker = person.and_then(|person| person.name.as_ref()).unwrap_or(&cue.source);
        for stream in recorded.streams.values_mut() {
            let Some(began) = stream.began else { continue };
            let Some((entry, _)) = &mut stream.open else { continue };
            let Some(text) = cue.written(began, speaker.as_str()) else { continue };
            match disk::append_captions(&self.files.index.captions_path(entry), &text) {
                Ok(()) => entry.captions = true,
                Err(error) => {
                    tracing::warn!(recording = %entry.recording, %error, "captions of a recording are lost");
                }
            }
        }
    }

    fn on_gone(&mut self, room: &RoomId, peer: PeerId) {
        if let Some(people) = self.people.get_mut(room) {
            people.remove(&peer);
        }
        let Some(mut recorded) = self.rooms.remove(room) else { return };
        for group in [Group::Person, Group::Screen] {
            if let Some(mut stream) = recorded.streams.remove(&(peer, group)) {
                self.finish_stream(room, &recorded, (peer, group), &mut stream, None);
            }
        }
        self.rooms.insert(room.clone(), recorded);
    }

    /// Advances all recordings and carries out their outputs.
    fn turn(&mut self) {
        let now = now();
        let mut faults = Vec::new();
        for (room, mut recorded) in std::mem::take(&mut self.rooms) {
            let mut streams = std::mem::take(&mut recorded.streams);
            let mut fault = None;
            for (key, stream) in &mut streams {
                stream.recording.handle_timeout(now);
                if let Err(error) = self.drain(&room, &recorded, *key, stream) {
                    fault = Some(error);
                }
            }
            let abandoned: Vec<_> = streams.extract_if(|_, stream| stream.is_abandoned(now)).collect();
            for (key, mut stream) in abandoned {
                self.finish_stream(&room, &recorded, key, &mut stream, None);
            }
            recorded.streams = streams;
            faults.extend(fault.map(|fault| (room.clone(), fault)));
            self.rooms.insert(room, recorded);
        }
        for (room, fault) in faults {
            self.fail(&room, &fault);
        }
        self.files.sweep(now);
        if now >= self.next_disk_check {
            self.next_disk_check = now + DISK_CHECK;
            if matches!(disk::is_nearly_full(self.files.index.folder()), Ok(true)) {
                for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
                    self.fail(&room, &Fault::DiskFull);
                }
            }
            self.look_for_files();
        }
    }

    /// Carries out the outputs of a recording.
    fn drain(
        &mut self,
        room: &RoomId,
        recorded: &RecordedRoom,
        key: StreamKey,
        stream: &mut Stream,
    ) -> Result<(), Fault> {
        while let Some(output) = stream.recording.poll_output() {
            match output {
                Output::Begin { container, rotation, at, head } => {
                    let mut entry = self.new_entry(room, recorded.life, key, container, at);
                    entry.rotation = rotation.degrees();
                    let file = self.files.begin(&entry, &head)?;
                    stream.dropped_before = recorded.dropped.load(Ordering::Relaxed);
                    stream.last = Some(entry.recording);
                    stream.began = Some(at);
                    stream.open = Some((entry, file));
                }
                Output::Append(bytes) => {
                    if let Some((entry, file)) = &mut stream.open {
                        file.append(&bytes).map_err(Fault::Write)?;
                        let millis = stream.recording.duration().as_millis();
                        entry.lost_packets = stream.recording.lost();
                        entry.dropped_packets =
                            recorded.dropped.load(Ordering::Relaxed) - stream.dropped_before;
                        entry.bytes = file.bytes;
                        entry.duration_ms = u64::try_from(millis).unwrap_or(u64::MAX).max(entry.duration_ms);
                        self.files.index.update(entry.recording, |known| known.clone_from(entry));
                    }
                }
                Output::Head(head) => {
                    if let Some((_, file)) = &mut stream.open {
                        file.rewrite_head(&head).map_err(Fault::Write)?;
                    }
                }
                Output::Keyframe(track) => {
                    if self.sfu.request_keyframe(room.clone(), track).is_err() {
                        tracing::debug!(%room, "no key frame could be asked for");
                    }
                }
                Output::End { duration, codecs } => {
                    if let Some((mut entry, file)) = stream.open.take() {
                        entry.codecs = codecs.into_iter().map(str::to_owned).collect();
                        entry.lost_packets = stream.recording.lost();
                        self.files.close(entry, &file, duration);
                    }
                }
            }
        }
        Ok(())
    }

    fn new_entry(
        &self,
        room: &RoomId,
        life: LifeId,
        (peer, group): StreamKey,
        container: Container,
        at: Instant,
    ) -> Entry {
        let recording = RecordingId::random(&mut SystemEntropy);
        let age = u64::try_from(now().saturating_duration_since(at).as_millis()).unwrap_or(0);
        let started_at = Timestamp::from_millis(wall_clock().as_millis().saturating_sub(age));
        let person = self.people.get(room).and_then(|people| people.get(&peer));
        Entry {
            recording,
            room: room.clone(),
            life,
            peer: Some(peer),
            name: person.and_then(|person| person.name.clone()),
            source: group.source(),
            started_at,
            ended_at: None,
            state: EntryState::Recording,
            container,
            rotation: 0,
            file: file_name(started_at, recording, container),
            bytes: 0,
            duration_ms: 0,
            codecs: Vec::new(),
            captions: false,
            lost_packets: 0,
            dropped_packets: 0,
            error: None,
            finalised: false,
            finalise_error: None,
            local: true,
            upload: self.files.first_upload(),
            upload_error: None,
        }
    }

    /// Ends the recordings of rooms whose files were deleted or replaced.
    fn look_for_files(&mut self) {
        let mut faults = Vec::new();
        for (room, recorded) in &self.rooms {
            let mut open = recorded.streams.values().filter_map(|stream| stream.open.as_ref());
            let missing = open.find_map(|(entry, file)| file.check_path(&self.files.index.path(entry)).err());
            faults.extend(missing.map(|error| (room.clone(), Fault::Gone(error))));
        }
        for (room, fault) in faults {
            self.fail(&room, &fault);
        }
    }

    fn delete(&mut self, recording: RecordingId) {
        let is_it =
            |stream: &Stream| stream.open.as_ref().is_some_and(|(entry, _)| entry.recording == recording);
        for (room, mut recorded) in std::mem::take(&mut self.rooms) {
            let open: Vec<_> = recorded.streams.extract_if(|_, stream| is_it(stream)).collect();
            for (key, mut stream) in open {
                self.finish_stream(&room, &recorded, key, &mut stream, None);
            }
            self.rooms.insert(room, recorded);
        }
        if let Err(error) = self.files.index.delete(recording) {
            tracing::error!(%recording, %error, "a recording could not be deleted");
        }
    }
}

#[cfg(test)]
mod tests;
