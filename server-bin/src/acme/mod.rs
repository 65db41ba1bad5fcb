//! Certificates from a directory (ACME, RFC 8555), such as Let's Encrypt.
//!
//! [`Renewer`] orders a certificate for the host of `--public-url` when there is none, and again when a third of its
//! lifetime is left. The directory checks by TLS-ALPN-01 (RFC 8737) on the server's own port that the name leads here, or
//! by HTTP-01 where `--acme-http-listen` opens another port. The data folder keeps the account, the certificate, and what
//! was tried: a server that is started again and again asks no more often than one that runs.
//!
//! | module | contents |
//! | --- | --- |
//! | `client` | Requests to the directory, and its demands for patience |
//! | `order` | One order, from the account to the certificate |
//! | `schedule` | When to order, without a clock |
//! | `store` | The files in the data folder |
//! | `web` | The listener of HTTP-01 |

mod client;
mod order;
mod schedule;
mod store;
mod web;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signaling_transport::net::Certificates;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::{Settings, TlsMode};
use crate::data_dir::DataDir;
use order::Order;
use schedule::{Failure, Schedule};
pub(crate) use store::Store;
pub(crate) use web::{Answers, listen};

/// The longest sleep, since the wall clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// What the settings say about the directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) url: String,
    pub(crate) email: String,
    /// The name that the certificate is for.
    pub(crate) name: String,
}

impl Directory {
    /// The directory of the settings, if certificates come from one.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let name = settings.public_url.as_ref().and_then(|url| url.name().map(str::to_owned));
        let (TlsMode::Acme, Some(email), Some(name)) = (settings.tls, &settings.acme_email, name) else {
            return None;
        };
        Some(Self { url: settings.acme_directory.clone(), email: email.clone(), name })
    }
}

/// Orders certificates for as long as the server runs.
pub(crate) struct Renewer {
    directory: Directory,
    store: Store,
    certificates: Certificates,
    answers: Option<Answers>,
    /// Notified when the store has another certificate.
    renewed: Arc<Notify>,
    schedule: Schedule,
}

impl Renewer {
    /// A renewer for `certificates`, which answer TLS-ALPN-01; with `answers` HTTP-01 is used instead.
    pub(crate) fn new(
        directory: Directory,
        data: &DataDir,
        certificates: Certificates,
        answers: Option<Answers>,
        renewed: Arc<Notify>,
    ) -> Self {
        let store = Store::new(data, &directory);
        let schedule = store.schedule();
        Self { directory, store, certificates, answers, renewed, schedule }
    }

    /// Orders what is due until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let validity = self.store.pem().and_then(|pem| Certificates::validity(&pem));
            let due = self.schedule.due(validity);
            let wait = due.duration_since(now()).unwrap_or_default();
            if !wait.is_zero() {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => continue,
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.order() => {}
            }
        }
    }

    async fn order(&mut self) {
        let Directory { url, name, .. } = &self.directory;
        tracing::info!(directory = %url, %name, "ordering a certificate");
        let order = Order {
            directory: &self.directory,
            store: &self.store,
            certificates: &self.certificates,
            answers: self.answers.as_ref(),
        };
        match order.run().await {
            Ok(pem) => {
                self.schedule.succeeded();
                match self.store.keep_pem(&pem) {
                    Ok(()) => tracing::info!(%name, "certificate received"),
                    Err(error) => {
                        self.schedule.failed(now(), Failure::Local);
                        tracing::error!(%error, "the certificate cannot be kept");
                    }
                }
                self.renewed.notify_one();
            }
            Err(error) => {
                let again = self.schedule.failed(now(), error.failure());
                let error = format!("{:#}", anyhow::Error::from(error));
                let minutes = again.as_secs().div_ceil(60);
                tracing::warn!(error, %name, again_in_minutes = minutes, "no certificate from the directory");
            }
        }
        if let Err(error) = self.store.keep_schedule(&self.schedule) {
            tracing::warn!(%error, "what was tried with the directory cannot be kept");
        }
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + clock::wall()
}
