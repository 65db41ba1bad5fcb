//! The source of the certificate, and its renewal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use signaling_transport::net::self_signed::SelfSignedError;
use signaling_transport::net::{self, Certificates, self_signed};
use stun_turn::{Certificate, CertificateError, Handle};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::acme::{Directory, Store};
use crate::config::{Settings, TlsMode};
use crate::data_dir::{DataDir, is_of_the_disk};

/// Sources of certificates.
#[derive(Clone)]
enum Source {
    Files {
        chain: PathBuf,
        key: PathBuf,
    },
    SelfMade {
        kept: PathBuf,
    },
    /// The directory's, or a self-signed one until there is one.
    Acme {
        store: Arc<Store>,
        self_made: PathBuf,
    },
}

/// Chain and key as last read.
#[derive(PartialEq, Eq)]
pub(crate) struct Pem {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Monitors the source of the certificate, and replaces the certificate when it has changed.
pub(crate) struct CertificateKeeper {
    source: Source,
    current: Pem,
    certificates: Certificates,
    /// A certificate that was found but not used, since the present one is better.
    passed_over: Option<Pem>,
    /// Whether the expiry of the present one has been reported.
    is_told: bool,
    /// Notified when the source has another certificate.
    renewed: Arc<Notify>,
}

/// Interval of the keeper's checks.
const INTERVAL: Duration = Duration::from_mins(1);

impl CertificateKeeper {
    /// The certificate required by the settings, if any.
    pub(crate) fn open(settings: &Settings, data: &DataDir) -> anyhow::Result<Option<Self>> {
        let Some(source) = Source::of(settings, data) else { return Ok(None) };
        let current = source.read().or_else(Source::unkept)?;
        let certificates =
            Certificates::from_pem(&current.chain, &current.key).map_err(|error| source.explain(error))?;
        if let Some(trouble) = current.trouble(now()) {
            tracing::warn!("the certificate {trouble}: browsers refuse it");
        }
        Ok(Some(Self {
            source,
            current,
            certificates,
            passed_over: None,
            is_told: false,
            renewed: Arc::default(),
        }))
    }

    pub(crate) fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// To be notified when the source has another certificate.
    pub(crate) fn renewed(&self) -> Arc<Notify> {
        Arc::clone(&self.renewed)
    }

    /// The certificate for TURN: only one that its clients trust, now or soon.
    pub(crate) fn for_turn(&self) -> Option<&Pem> {
        self.source.is_trusted().then_some(&self.current)
    }

    /// Checks every minute, and at once when `reload` changes, until `shutdown`. TURN gets the certificate too unless it
    /// is self-signed.
    pub(crate) async fn keep(
        mut self,
        shutdown: CancellationToken,
        mut reload: watch::Receiver<()>,
        turn: Option<Handle>,
    ) {
        let turn = turn.filter(|_| self.source.is_trusted());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.renewed.notified() => {}
                // The sender exists until the shutdown.
                Ok(()) = reload.changed() => {}
            }
            let source = self.source.clone();
            let found = tokio::task::spawn_blocking(move || source.read()).await;
            match found.unwrap_or_else(|error| Err(error.into())) {
                Ok(found) if found == self.current => {}
                // A valid certificate is better than an invalid one.
                Ok(found) if found.trouble(now()).is_some() && self.current.trouble(now()).is_none() => {
                    self.pass_over(found);
                }
                Ok(found) => {
                    let trouble = found.trouble(now());
                    match self.certificates.replace(&found.chain, &found.key) {
                        Ok(()) => {
                            if let Some(turn) = &turn
                                && let Err(error) = exchange(turn, &found)
                            {
                                tracing::warn!(%error, "certificate of TURN not exchanged");
                            }
                            (self.current, self.passed_over, self.is_told) = (found, None, false);
                            tracing::info!("certificate exchanged");
                            if let Some(trouble) = trouble {
                                self.is_told = true;
                                tracing::warn!("the certificate {trouble}: browsers refuse it");
                            }
                        }
                        // Chain and key may be written one after the other: the next check finds both.
                        Err(error) => tracing::warn!(%error, "certificate not exchanged"),
                    }
                }
                Err(error) => tracing::warn!(error = format!("{error:#}"), "certificate not read"),
            }
            self.look_at_present();
        }
    }

    /// Reports once that a certificate was found but not used.
    fn pass_over(&mut self, found: Pem) {
        if self.passed_over.as_ref() != Some(&found) {
            let trouble = found.trouble(now()).unwrap_or_default();
            tracing::warn!("certificate not exchanged: the new one {trouble}, and the present one holds");
            self.passed_over = Some(found);
        }
    }

    /// Reports once that the present certificate has expired.
    fn look_at_present(&mut self) {
        match self.current.trouble(now()) {
            Some(trouble) if !std::mem::replace(&mut self.is_told, true) => {
                tracing::warn!("the certificate {trouble}: browsers refuse it");
            }
            Some(_) => {}
            None => self.is_told = false,
        }
    }
}

/// The certificate that a server with these settings has, without making one.
pub(crate) fn kept(settings: &Settings) -> anyhow::Result<Option<Pem>> {
    let data = DataDir::unmade(&settings.data_dir);
    let Some(source) = Source::of(settings, &data) else { return Ok(None) };
    match source {
        Source::Files { .. } => source.read().map(Some),
        Source::Acme { store, .. } => Ok(store.pem().map(|pem| Pem { chain: pem.clone(), key: pem })),
        Source::SelfMade { kept } => {
            Ok(std::fs::read(kept).ok().map(|pem| Pem { chain: pem.clone(), key: pem }))
        }
    }
}

impl Pem {
    /// Why browsers refuse the certificate at this moment, if its validity period is the reason.
    fn trouble(&self, now: SystemTime) -> Option<String> {
        let validity = Certificates::validity(&self.chain)?;
        let days = |span: Duration| span.as_secs() / 86_400;
        if let Ok(ago) = now.duration_since(validity.until)
            && !ago.is_zero()
        {
            return Some(format!("has expired, {} days ago", days(ago)));
        }
        let ahead = validity.from.duration_since(now).ok().filter(|ahead| !ahead.is_zero())?;
        Some(format!("is not yet valid, for {} days; look at the machine's clock", days(ahead)))
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + clock::wall()
}

fn exchange(turn: &Handle, pem: &Pem) -> Result<(), CertificateError> {
    turn.reload_certificate(&Certificate::from_pem(&pem.chain, &pem.key)?)
}

impl Source {
    /// The source that the settings name.
    fn of(settings: &Settings, data: &DataDir) -> Option<Self> {
        Some(match (settings.tls, &settings.tls_cert, &settings.tls_key) {
            (TlsMode::Files, Some(chain), Some(key)) => {
                Self::Files { chain: chain.clone(), key: key.clone() }
            }
            (TlsMode::Auto, ..) => Self::SelfMade { kept: data.file("self-made-certificate.pem") },
            (TlsMode::Acme, ..) => {
                let store = Arc::new(Store::new(data, &Directory::of(settings)?));
                Self::Acme { store, self_made: data.file("self-made-certificate.pem") }
            }
            _ => return None,
        })
    }

    /// Whether clients trust its certificates.
    fn is_trusted(&self) -> bool {
        !matches!(self, Self::SelfMade { .. })
    }

    /// Names the unusable file.
    fn explain(&self, error: net::CertificateError) -> anyhow::Error {
        use net::CertificateError::{Empty, Pem};
        let place = match (self, &error) {
            (Self::SelfMade { kept } | Self::Acme { self_made: kept, .. }, _) => kept.display().to_string(),
            (Self::Files { chain, .. }, Empty) => format!("{} (--tls-cert)", chain.display()),
            (Self::Files { chain, .. }, Pem { what, .. }) if what.contains("chain") => {
                format!("{} (--tls-cert)", chain.display())
            }
            (Self::Files { key, .. }, Pem { .. }) => format!("{} (--tls-key)", key.display()),
            (Self::Files { chain, key }, _) => {
                format!("{} and {} (--tls-cert and --tls-key)", chain.display(), key.display())
            }
        };
        anyhow::Error::new(error).context(place)
    }

    /// A self-signed certificate that cannot be stored on a full disk: it is used for the life of the process, or until
    /// it can be stored.
    fn unkept(error: anyhow::Error) -> anyhow::Result<Pem> {
        let is_unkept = matches!(
            error.downcast_ref(),
            Some(SelfSignedError::Keep { path, source })
                if is_of_the_disk(source) || path.parent().is_none_or(|folder| !folder.exists())
        );
        if !is_unkept {
            return Err(error);
        }
        tracing::error!(
            error = format!("{error:#}"),
            "the self-signed certificate is not kept: browsers warn again after a restart"
        );
        let made = self_signed::make(&self_signed::machine_names(), UNIX_EPOCH + clock::wall())?;
        Ok(Pem { chain: made.pem.clone().into_bytes(), key: made.pem.into_bytes() })
    }

    fn read(&self) -> anyhow::Result<Pem> {
        match self {
            Self::Files { chain, key } => {
                let read = |path: &PathBuf| {
                    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
                };
                Ok(Pem { chain: read(chain)?, key: read(key)? })
            }
            Self::Acme { store, self_made } => {
                let pem = store.pem().filter(|pem| Certificates::from_pem(pem, pem).is_ok());
                match pem {
                    Some(pem) => Ok(Pem { chain: pem.clone(), key: pem }),
                    None => Self::SelfMade { kept: self_made.clone() }.read(),
                }
            }
            Self::SelfMade { kept } => {
                let made = self_signed::load_or_make(kept, &self_signed::machine_names(), now())?;
                Ok(Pem { chain: made.pem.clone().into_bytes(), key: made.pem.into_bytes() })
            }
        }
    }
}
