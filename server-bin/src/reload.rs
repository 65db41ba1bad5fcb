//! Settings that a running server reloads at SIGHUP: the log level. Certificates are reloaded by their own keeper.

use std::env;

use tokio::sync::watch;

use crate::cli::{self, Ask, UsageError};
use crate::config::Config;
use crate::logging;

/// Reloads the settings whenever `reload` changes.
pub(crate) async fn keep(mut config: Config, mut reload: watch::Receiver<()>) {
    while reload.changed().await.is_ok() {
        match cli::parse(env::args_os().collect(), &env::vars_os().collect()) {
            Ok(Ask::Run(found)) => {
                take_over(&config, &found);
                config = found;
            }
            Ok(_) => {}
            Err(UsageError::Usage(error)) => tracing::warn!(%error, "settings not read"),
            Err(UsageError::Config(error)) => {
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "settings not read");
            }
        }
    }
    // The sender is gone: the process ends.
    std::future::pending::<()>().await;
}

fn take_over(present: &Config, found: &Config) {
    if present.settings.log_level != found.settings.log_level {
        logging::set_level(&found.settings.log_level);
        tracing::warn!(level = %found.settings.log_level, "the log has another level");
    }
    let waiting: Vec<_> = found.differences(present).into_iter().filter(|name| name != "log-level").collect();
    if !waiting.is_empty() {
        tracing::warn!(
            settings = waiting.join(", "),
            "settings that have changed are taken over at the next start"
        );
    }
}
