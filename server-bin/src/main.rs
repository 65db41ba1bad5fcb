//! The binary `visavis`: flags, configuration and wiring.
#![forbid(unsafe_code)]

mod acme;
mod backup;
mod banner;
mod certificate;
mod children;
mod cli;
mod config;
mod data_dir;
mod doctor;
mod fallback;
#[cfg(feature = "planted-faults")]
mod faults;
mod folders;
mod health;
mod https;
mod ice_servers;
mod keys;
mod line_file;
mod listener;
mod logging;
mod media;
mod meetings;
mod metrics;
mod otlp;
mod overseer;
mod probe;
mod process_use;
mod recordings;
mod relay_bridge;
mod reload;
mod room_log;
mod room_store;
mod routes;
mod sandbox;
mod serve;
mod session_key;
mod shutdown;
mod signaling;
mod status;
mod stores;
mod turn;

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use cli::{Ask, UsageError};
use config::OnOff;

/// How long a panic of the main thread waits for the overseer, which may not exist yet.
const UNWATCHED: Duration = Duration::from_secs(10);
/// A setting has an invalid value (the exit code that clap uses).
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    if let Some(code) = children::become_asked(&arguments) {
        return code;
    }
    // Everything created from here on is accessible to its owner only.
    umask(Mode::RWXG | Mode::RWXO);
    let config = match cli::parse(arguments, &env::vars_os().collect()) {
        Ok(Ask::Run(config)) => config,
        Ok(Ask::ShowConfig(config)) => {
            let shown = io::stdout().write_all(config.to_toml().as_bytes());
            return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Ok(Ask::ApiKey(config, ask, init)) => return tell(meetings::keys(&config.settings, &ask, init)),
        Ok(Ask::SessionKey(config, ask)) => return tell(session_key::change(&config.settings, ask)),
        Ok(Ask::Backup(config, folder)) => return tell(backup::make(&config.settings, &folder)),
        Ok(Ask::Restore(config, folder)) => return tell(backup::restore(&config.settings, &folder)),
        Ok(Ask::TurnCredentials(config, user, init)) => {
            return tell(turn::print_credentials(&config.settings, user.as_deref(), init));
        }
        Ok(Ask::Health(config, ready)) => return tell(probe::ask(&config.settings, ready)),
        Ok(Ask::Doctor(config, look)) => return doctor::examine(&config.settings, &look),
        Ok(Ask::Finalize(config, what)) => {
            logging::start(config.settings.log_format, &config.settings.log_level);
            return match recordings::finalize(&config.settings, &what) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error, 1),
            };
        }
        Err(UsageError::Usage(usage)) => usage.exit(),
        Err(UsageError::Config(error)) => return fail(&error.into(), USAGE),
    };
    // Before any thread starts: only later ones are restricted.
    let sandbox = (config.settings.sandbox == OnOff::On).then(|| sandbox::enter(&config.settings));
    logging::start(config.settings.log_format, &config.settings.log_level);
    if let Some(entered) = sandbox {
        entered.log();
    }
    overseer::log_panics();
    raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into(), 1),
    };
    let serving = AssertUnwindSafe(|| runtime.block_on(serve::serve(&config)));
    let Ok(ended) = panic::catch_unwind(serving) else {
        // The overseer reports the reason, and ends the process.
        thread::sleep(UNWATCHED);
        return ExitCode::FAILURE;
    };
    // Background work must not delay the end.
    runtime.shutdown_background();
    logging::flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

/// Every connection is an open file, and the soft limit is often 1,024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, limit = limit.current, "the limit of open files stays");
    }
}

/// Prints the output of a command.
fn tell(text: anyhow::Result<String>) -> ExitCode {
    match text {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    logging::last_line(&format!("visavis: {error:#}"));
    ExitCode::from(code)
}
