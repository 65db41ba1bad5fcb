//! The signals that operators and supervisors send.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Every signal that would end a process that does not catch it, caught from the moment this is made, whatever the settings.
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
    /// Begins to catch them. Must be called within a tokio runtime.
    pub(crate) fn catch() -> io::Result<Self> {
        // Beyond a bound on the size of files a write fails, as on a full disk, and ends nothing.
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

    /// Lets tests plant faults in these engines.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn with_faults(self, faults: signaling_core::Watch) -> Self {
        Self { faults, ..self }
    }

    /// Changes with every SIGHUP.
    pub(crate) fn reload(&self) -> watch::Receiver<()> {
        self.reload.subscribe()
    }

    /// Waits for one that ends the process, and says which. Those that do not are dealt with meanwhile.
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
