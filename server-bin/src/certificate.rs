//! Where the certificate comes from, and how it is kept fresh.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use signaling_transport::net::{Certificates, self_signed};
use stun_turn::{Certificate, CertificateError, Handle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Settings, TlsMode};
use crate::data_dir::DataDir;

/// Where certificates come from.
#[derive(Clone, Debug)]
enum Source {
    Files { chain: PathBuf, key: PathBuf },
    SelfMade { kept: PathBuf },
}

/// Chain and key as they were last read.
#[derive(PartialEq, Eq)]
struct Pem {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// Watches where the certificate comes from, and exchanges it when it has changed.
pub(crate) struct CertificateKeeper {
    source: Source,
    current: Pem,
    certificates: Certificates,
}

/// How often the keeper looks.
const INTERVAL: Duration = Duration::from_mins(1);

impl CertificateKeeper {
    /// The certificate that the settings ask for, if they ask for one.
    pub(crate) fn open(settings: &Settings, data: &DataDir) -> anyhow::Result<Option<Self>> {
        let source = match (settings.tls, &settings.tls_cert, &settings.tls_key) {
            (TlsMode::Files, Some(chain), Some(key)) => {
                Source::Files { chain: chain.clone(), key: key.clone() }
            }
            (TlsMode::Auto, ..) => Source::SelfMade { kept: data.file("self-made-certificate.pem") },
            _ => return Ok(None),
        };
        let current = source.read()?;
        let certificates = Certificates::from_pem(&current.chain, &current.key).context(match source {
            Source::Files { .. } => "the files of --tls-cert and --tls-key",
            Source::SelfMade { .. } => "the self-made certificate",
        })?;
        Ok(Some(Self { source, current, certificates }))
    }

    pub(crate) fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Looks every minute, and at once when `reload` changes, until `shutdown`. TURN has the certificate too, when it is the operator's.
    pub(crate) async fn keep(
        mut self,
        shutdown: CancellationToken,
        mut reload: watch::Receiver<()>,
        turn: Option<Handle>,
    ) {
        let turn = turn.filter(|_| matches!(self.source, Source::Files { .. }));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
                // Whoever could change it is there until the shutdown.
                Ok(()) = reload.changed() => {}
            }
            let source = self.source.clone();
            let found = tokio::task::spawn_blocking(move || source.read()).await;
            match found.unwrap_or_else(|error| Err(error.into())) {
                Ok(found) if found != self.current => {
                    match self.certificates.replace(&found.chain, &found.key) {
                        Ok(()) => {
                            if let Some(turn) = &turn
                                && let Err(error) = exchange(turn, &found)
                            {
                                tracing::warn!(%error, "certificate of TURN not exchanged");
                            }
                            self.current = found;
                            tracing::info!("certificate exchanged");
                        }
                        // Chain and key may be written one after the other: the next look finds both.
                        Err(error) => tracing::warn!(%error, "certificate not exchanged"),
                    }
                }
                Ok(_unchanged) => {}
                Err(error) => tracing::warn!(error = format!("{error:#}"), "certificate not read"),
            }
        }
    }
}

fn exchange(turn: &Handle, pem: &Pem) -> Result<(), CertificateError> {
    turn.reload_certificate(&Certificate::from_pem(&pem.chain, &pem.key)?)
}

impl Source {
    fn read(&self) -> anyhow::Result<Pem> {
        match self {
            Self::Files { chain, key } => {
                let read = |path: &PathBuf| {
                    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
                };
                Ok(Pem { chain: read(chain)?, key: read(key)? })
            }
            Self::SelfMade { kept } => {
                let made = self_signed::load_or_make(
                    kept,
                    &self_signed::machine_names(),
                    UNIX_EPOCH + clock::wall(),
                )?;
                Ok(Pem { chain: made.pem.clone().into_bytes(), key: made.pem.into_bytes() })
            }
        }
    }
}
