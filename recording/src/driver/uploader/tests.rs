use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::Error;

use super::*;
use crate::index::testing::entry;
use crate::store::Bucket;
use crate::store::testing::store;

/// A bucket in memory that fails on request.
#[derive(Default)]
struct Shelf {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    uploads: BTreeMap<String, BTreeMap<usize, Bytes>>,
    objects: BTreeMap<String, Vec<u8>>,
    begun: usize,
    parts_taken: usize,
    /// The next failure.
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Requests fail and have no effect.
    Down,
    /// A request takes effect, but its response is lost.
    AnswerLost,
}

fn down() -> Error {
    Error::Generic { store: "shelf", source: "it is down".into() }
}

fn unknown(key: &Path) -> Error {
    Error::NotFound { path: key.to_string(), source: "there is no such upload".into() }
}

impl Shelf {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Carries out a request, subject to the next failure.
    fn answer<T>(&self, act: impl FnOnce(&mut Held) -> Result<T, Error>) -> Result<T, Error> {
        let mut held = self.held();
        match held.fault {
            Some(Fault::Down) => Err(down()),
            Some(Fault::AnswerLost) => {
                held.fault = None;
                act(&mut held).and(Err(down()))
            }
            None => act(&mut held),
        }
    }
}

#[async_trait]
impl Bucket for Shelf {
    async fn begin(&self, _key: &Path) -> Result<String, Error> {
        self.answer(|held| {
            held.begun += 1;
            let name = format!("upload-{}", held.begun);
            held.uploads.insert(name.clone(), BTreeMap::new());
            Ok(name)
        })
    }

    async fn put_part(&self, key: &Path, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error> {
        self.answer(|held| {
            held.uploads.get_mut(upload).ok_or_else(|| unknown(key))?.insert(number, bytes);
            held.parts_taken += 1;
            Ok(format!("part-{number}"))
        })
    }

    async fn complete(&self, key: &Path, upload: &str, parts: Vec<String>) -> Result<(), Error> {
        self.answer(|held| {
            let taken = held.uploads.remove(upload).ok_or_else(|| unknown(key))?;
            let names: Vec<_> = taken.keys().map(|number| format!("part-{number}")).collect();
            assert_eq!(parts, names);
            held.objects.insert(key.to_string(), taken.into_values().flatten().collect());
            Ok(())
        })
    }

    async fn size(&self, key: &Path) -> Result<Option<u64>, Error> {
        self.answer(|held| Ok(held.objects.get(key.as_ref()).map(|object| object.len() as u64)))
    }

    async fn read(
        &self,
        _key: &Path,
        _range: std::ops::Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        Ok(stream::empty().boxed())
    }

    async fn remove(&self, key: &Path, upload: Option<&str>) -> Result<(), Error> {
        self.answer(|held| {
            held.objects.remove(key.as_ref());
            upload.map(|upload| held.uploads.remove(upload));
            Ok(())
        })
    }
}

struct World {
    folder: tempfile::TempDir,
    shelf: Arc<Shelf>,
    work: Work,
}

impl World {
    fn new(keeps_local: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Shelf::default());
        let work = work(&folder, &shelf, keeps_local);
        Self { folder, shelf, work }
    }

    /// Simulates a restart of the process.
    fn restart(self, keeps_local: bool) -> Self {
        let Self { folder, shelf, work } = self;
        drop(work);
        let work = work_again(&folder, &shelf, keeps_local);
        Self { folder, shelf, work }
    }

    /// Saves a finished recording of two and a fraction parts, whose bytes depend on their position.
    fn record(&self) -> (Entry, Vec<u8>) {
        let bytes: Vec<u8> = (0..(17_u32 << 20) / 4).flat_map(u32::to_le_bytes).collect();
        let done = Entry {
            state: EntryState::Ready,
            bytes: bytes.len() as u64,
            upload: Some(Upload::Waiting),
            ..entry(1)
        };
        fs::write(self.index().path(&done), &bytes).unwrap();
        self.index().save(&done).unwrap();
        (done, bytes)
    }

    fn index(&self) -> &Index {
        &self.work.index
    }

    fn step(&mut self) -> Step {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.work.step())
    }

    fn steps_until(&mut self, end: Step) -> usize {
        (0..100).find(|_| self.step() == end).expect("it goes on for ever")
    }

    fn object(&self, entry: &Entry) -> Option<Vec<u8>> {
        self.shelf.held().objects.get(&format!("calls/{}", entry.file)).cloned()
    }

    fn known(&self, entry: &Entry) -> Entry {
        self.index().get(entry.recording).unwrap()
    }
}

fn work(folder: &tempfile::TempDir, shelf: &Arc<Shelf>, keeps_local: bool) -> Work {
    let bucket: Arc<dyn Bucket> = Arc::<Shelf>::clone(shelf);
    Work::new(store(bucket), keeps_local, Arc::new(Index::open(folder.path()).unwrap()))
}

fn work_again(folder: &tempfile::TempDir, shelf: &Arc<Shelf>, keeps_local: bool) -> Work {
    let work = work(folder, shelf, keeps_local);
    crate::driver::recover(&work.index);
    work
}

#[test]
fn what_is_over_goes_to_the_store_and_stays_here() {
    let mut world = World::new(true);
    let (entry, bytes) = world.record();
    let busy = Entry {
        state: EntryState::Finalising,
        upload: Some(Upload::Waiting),
        ..crate::index::testing::entry(2)
    };
    world.index().save(&busy).unwrap();
    assert_eq!(world.steps_until(Step::Nothing), 5, "a beginning, three parts, an end");
    assert!(world.object(&entry).is_some_and(|object| object == bytes));
    let object = format!("s3://bucket/calls/{}", entry.file);
    assert_eq!(world.known(&entry), Entry { upload: Some(Upload::Stored { object }), ..entry.clone() });
    assert!(world.index().path(&entry).exists());
    assert_eq!(world.known(&busy), busy, "what is not ready stays where it is");
}

#[test]
fn a_local_copy_goes_once_the_store_has_confirmed_it_and_not_before() {
    let mut world = World::new(false);
    let (entry, bytes) = world.record();
    while !world.known(&entry).upload.unwrap().is_stored() {
        assert!(world.index().path(&entry).exists());
        assert_eq!(world.step(), Step::Taken);
    }
    assert!(world.object(&entry).is_some_and(|object| object == bytes));
    world.steps_until(Step::Nothing);
    assert!(!world.index().path(&entry).exists());
    let mut world = world.restart(false);
    assert!(!world.known(&entry).local);
    assert_eq!(world.step(), Step::Nothing);
}

#[test]
fn an_interruption_costs_one_part_also_over_a_restart() {
    let mut world = World::new(true);
    let (entry, bytes) = world.record();
    for _ in 0..2 {
        assert_eq!(world.step(), Step::Taken);
    }
    world.shelf.held().fault = Some(Fault::Down);
    for _ in 0..3 {
        assert_eq!(world.step(), Step::Failed);
    }
    assert!(world.known(&entry).upload_error.unwrap().contains("it is down"));
    let mut world = world.restart(true);
    assert_eq!(world.step(), Step::Failed);
    world.shelf.held().fault = None;
    assert_eq!(world.steps_until(Step::Nothing), 3, "two parts and an end");
    assert!(world.object(&entry).is_some_and(|object| object == bytes));
    let Held { begun, parts_taken, .. } = *world.shelf.held();
    assert_eq!((begun, parts_taken), (1, 3));
    assert_eq!(world.known(&entry).upload_error, None);
}

#[test]
fn an_answer_that_is_lost_is_no_loss() {
    for lost in 0..5 {
        let mut world = World::new(true);
        let (entry, bytes) = world.record();
        for _ in 0..lost {
            assert_eq!(world.step(), Step::Taken);
        }
        world.shelf.held().fault = Some(Fault::AnswerLost);
        world.step();
        let mut world = world.restart(true);
        world.steps_until(Step::Nothing);
        assert!(world.object(&entry).is_some_and(|object| object == bytes), "lost at step {lost}");
        assert!(world.known(&entry).upload.unwrap().is_stored(), "lost at step {lost}");
    }
}

#[test]
fn an_upload_that_the_store_has_lost_begins_anew() {
    let mut world = World::new(true);
    let (entry, bytes) = world.record();
    for _ in 0..3 {
        assert_eq!(world.step(), Step::Taken);
    }
    world.shelf.held().uploads.clear();
    world.steps_until(Step::Nothing);
    assert!(world.object(&entry).is_some_and(|object| object == bytes));
    assert_eq!(world.shelf.held().begun, 2);
}

#[test]
fn one_that_cannot_be_uploaded_does_not_hold_up_the_rest() {
    let mut world = World::new(true);
    let (lost, _) = world.record();
    fs::remove_file(world.index().path(&lost)).unwrap();
    let other =
        Entry { state: EntryState::Ready, upload: Some(Upload::Waiting), ..crate::index::testing::entry(2) };
    fs::write(world.index().path(&other), "media").unwrap();
    world.index().save(&other).unwrap();
    assert_eq!(world.step(), Step::Failed);
    world.steps_until(Step::Nothing);
    assert_eq!(world.object(&other).as_deref(), Some(&b"media"[..]));
    assert!(world.known(&lost).upload_error.unwrap().contains("cannot be read"));
}

#[test]
fn a_deleted_recording_goes_from_the_store_too_in_mid_upload_or_later() {
    for steps in 0..6 {
        let mut world = World::new(true);
        let (entry, _) = world.record();
        for _ in 0..steps {
            world.step();
        }
        world.index().delete(entry.recording).unwrap();
        world.shelf.held().fault = Some(Fault::Down);
        world.step();
        let mut world = world.restart(true);
        world.shelf.held().fault = None;
        world.steps_until(Step::Nothing);
        let held = world.shelf.held();
        assert!(held.objects.is_empty() && held.uploads.is_empty(), "deleted after {steps} steps");
        assert_eq!(fs::read_dir(world.folder.path()).unwrap().count(), 1, "the lock alone");
    }
}

#[test]
fn rests_grow_and_are_bounded() {
    let seconds: Vec<_> = (1..12).map(|setbacks| backoff(setbacks).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(backoff(u32::MAX), LONGEST_REST);
}
