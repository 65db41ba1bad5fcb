//! Engines: the threads and tasks on which the rest of the server depends, and whether they still work.
//!
//! An engine registers with a [`Watch`] and gives a sign of life in each iteration. If it ends without being asked to,
//! by a panic or otherwise, the watch is told on the engine's own thread.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Observes the ends of engines.
pub trait Witness: Send + Sync {
    /// An engine has ended without being asked to. Called on its thread, during unwinding if it panicked.
    fn on_end(&self, engine: &str, end: End<'_>);

    /// An engine has given a sign of life. Tests inject faults here.
    fn on_sign(&self, _engine: &str) {}
}

/// How an engine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// It panicked.
    Panicked,
    /// It failed, for this reason.
    Failed(&'a str),
    /// It returned.
    Returned,
}

/// The engines of a server. Clones share them; the default has no witness.
#[derive(Clone, Default)]
pub struct Watch {
    engines: Arc<Engines>,
}

#[derive(Default)]
struct Engines {
    witness: Option<Box<dyn Witness>>,
    pulses: Mutex<Vec<Weak<Pulse>>>,
}

struct Pulse {
    name: String,
    patience: Duration,
    signs: AtomicU64,
    has_ended: AtomicBool,
    /// Wakes the engine when it is a task.
    waker: Mutex<Option<Waker>>,
}

/// The signs of life of a running engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// The engine's name.
    pub engine: String,
    /// How many signs of life it has given.
    pub count: u64,
    /// How long it may be silent.
    pub patience: Duration,
}

/// How long an engine may be silent, unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

impl Watch {
    /// A watch that reports to `witness`.
    pub fn new(witness: Box<dyn Witness>) -> Self {
        Self { engines: Arc::new(Engines { witness: Some(witness), pulses: Mutex::default() }) }
    }

    /// Registers an engine. It is alive until the [`Engine`] is dropped.
    pub fn engine(&self, name: impl Into<String>) -> Engine {
        self.patient_engine(name, PATIENCE)
    }

    /// Registers an engine whose single steps may take up to `patience`, because they wait for a disk or a program.
    pub fn patient_engine(&self, name: impl Into<String>, patience: Duration) -> Engine {
        let pulse = Arc::new(Pulse {
            name: name.into(),
            patience,
            signs: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            waker: Mutex::default(),
        });
        hold(&self.engines.pulses).push(Arc::downgrade(&pulse));
        Engine { pulse, watch: self.clone() }
    }

    /// Asks every engine that is a task for a sign of life. Threads give one by themselves, at least once a second.
    pub fn ask(&self) {
        for pulse in self.pulses() {
            if let Some(waker) = &*hold(&pulse.waker) {
                waker.wake_by_ref();
            }
        }
    }

    /// The signs of life of all running engines, in the order of their registration.
    pub fn signs(&self) -> Vec<Sign> {
        let sign = |pulse: Arc<Pulse>| Sign {
            engine: pulse.name.clone(),
            count: pulse.signs.load(Ordering::Relaxed),
            patience: pulse.patience,
        };
        self.pulses().into_iter().map(sign).collect()
    }

    fn pulses(&self) -> Vec<Arc<Pulse>> {
        let mut pulses = hold(&self.engines.pulses);
        pulses.retain(|pulse| pulse.strong_count() > 0);
        let running = pulses.iter().filter_map(Weak::upgrade);
        running.filter(|pulse| !pulse.has_ended.load(Ordering::Acquire)).collect()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("engines", &self.signs()).finish_non_exhaustive()
    }
}

/// An engine, held by its thread or task while it runs. Dropping it tells the watch that the engine has ended.
#[derive(Debug)]
pub struct Engine {
    pulse: Arc<Pulse>,
    watch: Watch,
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Engine {
    /// Gives a sign of life.
    pub fn sign(&self) {
        self.pulse.signs.fetch_add(1, Ordering::Relaxed);
        if let Some(witness) = &self.watch.engines.witness {
            witness.on_sign(&self.pulse.name);
        }
    }

    /// The engine ends because it was asked to.
    pub fn finish(&self) {
        self.pulse.has_ended.store(true, Ordering::Release);
    }

    /// The engine ends because it cannot go on.
    pub fn fail(&self, why: &str) {
        self.end(End::Failed(why));
    }

    /// The engine ends by a panic, for a thread that shares it with others.
    pub fn panicked(&self) {
        self.end(End::Panicked);
    }

    /// Runs an engine that is a task: every poll is a sign of life. The task is not expected to return.
    pub fn run<W: Future>(self, work: W) -> Running<W> {
        Running { engine: self, work: Box::pin(work) }
    }

    fn end(&self, end: End<'_>) {
        if !self.pulse.has_ended.swap(true, Ordering::AcqRel)
            && let Some(witness) = &self.watch.engines.witness
        {
            witness.on_end(&self.pulse.name, end);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() { End::Panicked } else { End::Returned });
    }
}

/// The future of [`Engine::run`].
#[derive(Debug)]
pub struct Running<W> {
    engine: Engine,
    work: Pin<Box<W>>,
}

impl<W: Future> Future for Running<W> {
    type Output = W::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<W::Output> {
        {
            let mut waker = hold(&self.engine.pulse.waker);
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
        }
        self.engine.sign();
        self.work.as_mut().poll(context)
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl Witness for Heard {
        fn on_end(&self, engine: &str, end: End<'_>) {
            hold(&self.0).push(format!("{engine}: {end:?}"));
        }
    }

    fn watched() -> (Watch, Heard) {
        let heard = Heard::default();
        (Watch::new(Box::new(heard.clone())), heard)
    }

    #[test]
    fn an_end_that_nobody_asked_for_is_told_with_its_cause() {
        let (watch, heard) = watched();
        watch.engine("asked").finish();
        watch.engine("failing").fail("no socket");
        drop(watch.engine("returning"));
        let engine = watch.engine("panicking");
        let thread = std::thread::spawn(move || {
            engine.sign();
            panic!("planted");
        });
        assert!(thread.join().is_err());
        let expected = ["failing: Failed(\"no socket\")", "returning: Returned", "panicking: Panicked"];
        assert_eq!(*hold(&heard.0), expected);
        assert!(watch.signs().is_empty());
    }

    #[test]
    fn a_task_that_is_asked_gives_a_sign_and_its_panic_is_told() {
        let (watch, heard) = watched();
        let mut polls = 0;
        let work = std::future::poll_fn(|_| {
            polls += 1;
            assert!(polls < 3, "planted");
            Poll::<()>::Pending
        });
        let mut running = watch.engine("task").run(work);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut poll = || Pin::new(&mut running).poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending());
        watch.ask();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(poll().is_pending());
        assert_eq!(watch.signs().iter().map(|sign| sign.count).collect::<Vec<_>>(), [2]);
        let task = move || Pin::new(&mut running).poll(&mut Context::from_waker(&waker)).is_pending();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(task)).is_err());
        assert_eq!(*hold(&heard.0), ["task: Panicked"]);
    }

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
