//! Log lines on standard error.
//!
//! Logging never blocks and never fails: a line goes into a queue, which a thread writes out. Lines that standard error
//! does not accept (a full disk, a reader that is gone or stalled) are counted, and their number is reported once lines
//! can be written again.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFilter, LogFormat};

/// Maximum number of queued lines, and of their bytes.
const MAX_LINES: usize = 4_096;
const MAX_BYTES: usize = 4 << 20;
/// How long the write of one line is retried while standard error accepts nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);
/// How long the process waits at its end for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Job>> = OnceLock::new();
static WAITING: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

enum Job {
    Line(Vec<u8>),
    /// Dropped when everything before it has been written.
    Flush(#[allow(dead_code, reason = "it is dropped")] SyncSender<()>),
}

/// Starts logging, once in the life of the process.
pub(crate) fn start(format: LogFormat, level: &LogFilter) {
    let (queue, jobs) = sync_channel(MAX_LINES);
    let is_terminal = io::stderr().is_terminal();
    // Without a thread, each line is written by the thread that logs it.
    if let Ok(stderr) = duplicate()
        && thread::Builder::new().name("log".into()).spawn(move || run(stderr, &jobs)).is_ok()
    {
        // It is started once.
        let _ = QUEUE.set(queue);
    }
    // Lines that cannot be written are counted here; an error report would fail the same way.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(Lines)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(is_terminal).with_filter_reloading();
            let handle = lines.reload_handle();
            remember(move |filter| handle.reload(filter).is_ok());
            lines.init();
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_filter_reloading();
            let handle = lines.reload_handle();
            remember(move |filter| handle.reload(filter).is_ok());
            lines.init();
        }
    }
}

fn remember(set: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) {
    // It is started once.
    let _ = SET_FILTER.set(Box::new(set));
}

/// Changes the log level.
pub(crate) fn set_level(level: &LogFilter) {
    if !SET_FILTER.get().is_some_and(|set| set(filter(level))) {
        tracing::warn!("the level of the log stays as it was");
    }
}

fn filter(level: &LogFilter) -> EnvFilter {
    // The filter was checked when it was parsed; if it is refused nevertheless, the default one is used.
    // The STUN codec logs every malformed message from the network.
    EnvFilter::try_new(format!("stun_types=error,{level}")).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Number of log lines lost since the start.
pub(crate) fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Writes a line that is not an event, after those in the queue.
pub(crate) fn last_line(line: &str) {
    put(format!("{line}\n").as_bytes());
    flush();
}

/// Waits briefly until everything logged so far has been written.
pub(crate) fn flush() {
    let (done, written) = sync_channel(0);
    if let Some(queue) = QUEUE.get()
        && queue.try_send(Job::Flush(done)).is_ok()
    {
        // Either the sender is dropped, or standard error accepts nothing.
        let _ = written.recv_timeout(LAST_LINES);
    }
}

fn put(line: &[u8]) {
    let Some(queue) = QUEUE.get() else {
        // There is nobody to tell.
        let _ = io::stderr().write_all(line);
        return;
    };
    let is_full = WAITING.fetch_add(line.len(), Ordering::AcqRel) + line.len() > MAX_BYTES;
    if is_full || queue.try_send(Job::Line(line.to_vec())).is_err() {
        WAITING.fetch_sub(line.len(), Ordering::AcqRel);
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// A separate descriptor: the holder of the lock of standard error may block for ever.
fn duplicate() -> io::Result<File> {
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

/// Receives each line in one piece.
#[derive(Clone, Copy)]
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(stderr: impl Write, jobs: &Receiver<Job>) {
    let mut out = Out { stderr, is_torn: false };
    let mut told = 0;
    while let Ok(job) = jobs.recv() {
        let Job::Line(line) = job else { continue };
        WAITING.fetch_sub(line.len(), Ordering::AcqRel);
        if !out.write(&line) {
            LOST.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let lost = LOST.load(Ordering::Relaxed);
        if lost > told {
            tracing::warn!(lines = lost - told, "log lines are lost: the standard error did not take them");
            told = lost;
        }
    }
}

/// Standard error, written as far as it accepts data.
struct Out<W> {
    stderr: W,
    /// The last line was cut short.
    is_torn: bool,
}

impl<W: Write> Out<W> {
    /// Writes a line; returns whether it was accepted.
    fn write(&mut self, line: &[u8]) -> bool {
        if self.is_torn && self.put(b"\n") != 1 {
            return false;
        }
        self.is_torn = false;
        let written = self.put(line);
        self.is_torn = (1..line.len()).contains(&written);
        written == line.len()
    }

    /// The number of bytes accepted.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        let mut waited = Duration::ZERO;
        while !rest.is_empty() {
            match self.stderr.write(rest) {
                Ok(0) => break,
                Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process made the pipe non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && waited < PATIENCE => {
                    thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                Err(_) => break,
            }
        }
        bytes.len() - rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with this much space.
    #[derive(Default)]
    struct Disk {
        room: usize,
        text: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.text.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_cut_short_spoils_no_later_line() {
        let mut out = Out { stderr: Disk { room: 9, ..Disk::default() }, is_torn: false };
        assert!(out.write(b"first\n"));
        assert!(!out.write(b"second\n"));
        assert!(!out.write(b"third\n"));
        out.stderr.room = 100;
        assert!(out.write(b"fourth\n"));
        assert!(out.write(b"fifth\n"));
        assert_eq!(out.stderr.text, b"first\nsec\nfourth\nfifth\n");
    }
}
