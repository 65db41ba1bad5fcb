//! Log lines, on the standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFilter, LogFormat};

/// Starts logging, once in the life of the process.
pub(crate) fn start(format: LogFormat, filter: &LogFilter) {
    // The filter was checked when it was read; should it be refused all the same, the default one serves.
    // The codec of STUN tells of every message that strangers send wrong.
    let filter =
        EnvFilter::try_new(format!("stun_types=error,{filter}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
    }
}
