//! Signals from operators and supervisors.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Catches every signal that would end the process by default, from its creation on, whatever the settings.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    reload: watch::Sender<()>,
    #[cfg(feature = "planted-faults")]
    faults: signaling_core::Watch,
}

impl Signals {
    /// Starts catching them. Must be called within a tokio runtime.
    pub(crate) fn catch() -> io::Result<Self> {
        // A write beyond the file size limit then fails, as on a full disk, and does not end the process.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            reload: watch::Sender::new(()),
            #[cfg(feature = "planted-faults")]
            faults: signaling_core::Watch::default(),
        })
    }

    /// Lets tests inject faults into these engines.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn with_faults(self, faults: signaling_core::Watch) -> Self {
        Self { faults, ..self }
    }

    /// Changes with every SIGHUP.
    pub(crate) fn reload(&self) -> watch::Receiver<()> {
        self.reload.subscribe()
    }

    /// Waits for a signal that ends the process, and returns its name. Other signals are handled meanwhile.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: what can be reloaded is");
                    self.reload.send_replace(());
                }
                _ = self.user1.recv() => tracing::info!("SIGUSR1 means nothing here"),
                _ = self.user2.recv() => {
                    #[cfg(feature = "planted-faults")]
                    crate::faults::plant(&self.faults);
                    tracing::info!("SIGUSR2 means nothing here");
                }
            }
        }
    }
}
