//! Monitors the engines: when one has ended, the process ends, so that its supervisor restarts it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{self, PanicHookInfo};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use recording::driver::Recorder;
use signaling_core::{End, Sign, Watch, Witness};

use crate::health::Health;
use crate::logging;

/// Interval between two checks of the engines. Checks are counted, not time: a process that was suspended has missed
/// none.
const LOOK: Duration = Duration::from_secs(1);
/// Maximum number of queued ends; the first one ends the process.
const ENDS: usize = 16;

thread_local! {
    /// The message of this thread's last panic.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Logs panics like other events, since standard error may not accept writes.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let message = info.payload_as_str().unwrap_or("a panic without words");
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let said = format!("{message}, at {at}");
        SAID.with(|kept| kept.replace(Some(said)));
        let thread = thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured)
            .then(|| tracing::field::display(backtrace));
        tracing::error!(thread = thread.name(), at, backtrace, "panicked: {message}");
    }));
}

/// Monitors all engines, and holds what must be saved when one ends.
pub(crate) struct Overseer {
    watch: Watch,
    duty: Arc<Duty>,
    recorder: Arc<OnceLock<Recorder>>,
}

impl Overseer {
    /// Starts the thread that checks the engines and tells `health` which of them give no sign of life.
    pub(crate) fn start(health: Arc<Health>) -> std::io::Result<Self> {
        let (ends, told) = sync_channel(ENDS);
        let duty =
            Arc::new(Duty { ends, is_started: AtomicBool::new(false), is_ending: AtomicBool::new(false) });
        let watch = Watch::new(Box::new(Ends(Arc::clone(&duty))));
        let recorder = Arc::new(OnceLock::new());
        let (engines, saved) = (watch.clone(), Arc::clone(&recorder));
        thread::Builder::new().name("overseer".into()).spawn(move || {
            let last = Last;
            look_after(&engines, &health, &told, &saved);
            drop(last);
        })?;
        Ok(Self { watch, duty, recorder })
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Sets the recorder whose files are closed when an engine ends.
    pub(crate) fn save(&self, recorder: Recorder) {
        // There is one.
        let _ = self.recorder.set(recorder);
    }

    /// The server has started. Until then, an engine that returns does so because the start has failed, which is
    /// reported elsewhere.
    pub(crate) fn stand_up(&self) {
        self.duty.is_started.store(true, Ordering::Release);
    }

    /// From now on engines end because the process does.
    pub(crate) fn stand_down(&self) {
        self.duty.is_ending.store(true, Ordering::Release);
    }
}

/// Without an overseer, the next fault would go unnoticed.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        process::exit(1);
    }
}

/// Which ends count, and the channel to the overseer.
struct Duty {
    ends: SyncSender<String>,
    is_started: AtomicBool,
    is_ending: AtomicBool,
}

struct Ends(Arc<Duty>);

impl Witness for Ends {
    fn on_end(&self, engine: &str, end: End<'_>) {
        let duty = &self.0;
        let is_start = !duty.is_started.load(Ordering::Acquire) && end == End::Returned;
        if is_start || duty.is_ending.load(Ordering::Acquire) {
            return;
        }
        let why = match end {
            End::Panicked => {
                let said = SAID.with(|said| said.borrow_mut().take());
                format!("panicked: {}", said.unwrap_or_default())
            }
            End::Failed(why) => format!("failed: {why}"),
            End::Returned => "has ended by itself".to_owned(),
        };
        // The first end reported ends the process.
        let _ = duty.ends.try_send(format!("{engine} {why}"));
    }

    #[cfg_attr(not(feature = "planted-faults"), expect(unused_variables))]
    fn on_sign(&self, engine: &str) {
        #[cfg(feature = "planted-faults")]
        crate::faults::carry_out(engine);
    }
}

fn look_after(watch: &Watch, health: &Health, ends: &Receiver<String>, recorder: &OnceLock<Recorder>) {
    let mut silences = Silences::default();
    loop {
        match ends.recv_timeout(LOOK) {
            Ok(end) => return end_process(&end, recorder),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return thread::sleep(Duration::MAX),
        }
        health.set_silent(silences.look(&watch.signs()));
        watch.ask();
    }
}

/// Reports which engine has ended and why, and saves what can be saved: recordings are closed, within the recorder's
/// own time limit.
fn end_process(end: &str, recorder: &OnceLock<Recorder>) {
    tracing::error!("an engine has ended, and the process with it: {end}");
    if let Some(recorder) = recorder.get() {
        recorder.shut_down();
    }
    logging::last_line(&format!("visavis: {end}"));
}

/// For each engine, the number of consecutive checks without a sign of life.
#[derive(Default)]
struct Silences {
    engines: HashMap<String, Silence>,
}

struct Silence {
    count: u64,
    looks: u32,
    is_told: bool,
}

impl Silences {
    /// Reads the signs of life of all engines, and returns the names of those that have been silent for too long.
    fn look(&mut self, signs: &[Sign]) -> Vec<String> {
        self.engines.retain(|name, _| signs.iter().any(|sign| sign.engine == *name));
        let mut silent = Vec::new();
        for sign in signs {
            let known = self.engines.entry(sign.engine.clone());
            // A count that no engine has, so that the first check never counts as silence.
            let silence = known.or_insert(Silence { count: u64::MAX, looks: 0, is_told: false });
            if silence.count != sign.count {
                if silence.is_told {
                    tracing::warn!(engine = sign.engine, "an engine gives signs of life again");
                }
                *silence = Silence { count: sign.count, looks: 0, is_told: false };
                continue;
            }
            silence.looks += 1;
            if LOOK * silence.looks < sign.patience {
                continue;
            }
            if !std::mem::replace(&mut silence.is_told, true) {
                tracing::error!(
                    engine = sign.engine,
                    seconds = silence.looks,
                    "an engine gives no sign of life"
                );
            }
            silent.push(sign.engine.clone());
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_silent_after_its_patience_and_until_its_next_sign() {
        let mut silences = Silences::default();
        let sign = |count| Sign { engine: "shard 0".into(), count, patience: Duration::from_secs(3) };
        let mut look = |count| silences.look(&[sign(count)]);
        for count in [5, 6, 6, 6] {
            assert!(look(count).is_empty(), "{count}");
        }
        assert_eq!(look(6), ["shard 0"]);
        assert_eq!(look(6), ["shard 0"]);
        assert!(look(7).is_empty());
        assert!(silences.look(&[]).is_empty(), "an engine that is gone is told elsewhere");
    }
}
