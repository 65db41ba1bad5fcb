//! Faults that tests inject into engines. Never part of a release.
//!
//! At SIGUSR2 the file `planted-fault` in the working directory is read, such as `panic shard 0` or `hang recorder`.
//! The engine of that name does so at its next sign of life.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use signaling_core::Watch;

static PLANTED: Mutex<Option<String>> = Mutex::new(None);

/// Injects the fault in the file; `list engines` logs the names of engines instead.
pub(crate) fn plant(watch: &Watch) {
    let fault = fs::read_to_string("planted-fault").unwrap_or_default();
    if fault.trim() == "list engines" {
        let names: Vec<_> = watch.signs().into_iter().map(|sign| sign.engine).collect();
        tracing::info!(names = ?names, "engines");
        return;
    }
    *PLANTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.trim().to_owned());
}

/// Carries out the fault injected into this engine.
#[allow(clippy::panic, reason = "it is what was asked for")]
pub(crate) fn carry_out(engine: &str) {
    let mut planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((fault, name)) = planted.as_deref().and_then(|fault| fault.split_once(' ')) else { return };
    if name != engine {
        return;
    }
    let hangs = fault == "hang";
    *planted = None;
    drop(planted);
    if hangs {
        thread::sleep(Duration::MAX);
    }
    panic!("a planted fault");
}
