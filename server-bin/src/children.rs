//! Child processes that end with this process, however it ends.
//!
//! A child is started through this program: `visavis run-with-parent PID PROGRAM ARGUMENT...` asks the kernel to kill
//! it when the thread that started it is gone (`prctl(2)`, `PR_SET_PDEATHSIG`), and then executes the child's program.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, ExitCode};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The first argument that selects this mode.
const WORD: &str = "run-with-parent";
/// The exit codes of shells for a program that is missing, and for one that cannot be executed.
const MISSING: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

/// The command line prefix that makes a program end with this process.
pub(crate) fn launcher() -> Vec<OsString> {
    if cfg!(not(target_os = "linux")) {
        return Vec::new();
    }
    // The running executable, even if its file has been replaced meanwhile.
    vec!["/proc/self/exe".into(), WORD.into(), process::id().to_string().into()]
}

/// Executes the requested program, if there is one.
pub(crate) fn become_asked(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, word, parent, program, rest @ ..] = arguments else { return None };
    if word != WORD {
        return None;
    }
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return Some(ExitCode::from(NOT_RUNNABLE));
    }
    // The parent may have ended before the kernel knew.
    let parent: Option<i32> = parent.to_str().and_then(|parent| parent.parse().ok());
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != parent {
        return Some(ExitCode::FAILURE);
    }
    let error = Command::new(program).args(rest).exec();
    Some(ExitCode::from(if error.kind() == io::ErrorKind::NotFound { MISSING } else { NOT_RUNNABLE }))
}
