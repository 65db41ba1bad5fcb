//! The certificate of a server, which can be replaced while the server runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::challenge::{self, ChallengeAnswer, Challenges, Resolver};
use super::opening::RELAY_PROTOCOL;

/// The TLS settings of a server. Clones share them. After [`replace`](Self::replace), new connections use the new
/// certificate, and existing ones keep theirs.
#[derive(Clone, Debug)]
pub struct Certificates {
    current: Arc<RwLock<Current>>,
    challenges: Challenges,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    leaf: CertificateDer<'static>,
}

/// The period in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment of the period.
    pub from: SystemTime,
    /// The last moment of the period.
    pub until: SystemTime,
}

impl Validity {
    /// Whether the certificate is valid at this moment.
    pub fn holds(&self, now: SystemTime) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The text is not PEM, or lacks the expected content.
    #[error("{what} is no usable PEM")]
    Pem {
        /// The certificate chain or the key.
        what: &'static str,
        /// The parser's error.
        #[source]
        source: pem::Error,
    },
    /// The chain is empty.
    #[error("there is no certificate in the chain")]
    Empty,
    /// The certificate or the key is unusable, or they do not belong together.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// The certificate that answers a challenge cannot be made.
    #[error("no certificate can be made")]
    Make(#[from] rcgen::Error),
}

impl Certificates {
    /// TLS settings from a certificate chain (leaf first) and its private key, both PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let challenges = Challenges::default();
        let current = Current::read(chain, key, &challenges)?;
        Ok(Self { current: Arc::new(RwLock::new(current)), challenges })
    }

    /// As [`from_pem`](Self::from_pem), from files.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        Self::from_pem(&read(chain)?, &read(key)?)
    }

    /// The validity of the leaf; `None` if it cannot be read.
    pub fn validity(chain: &[u8]) -> Option<Validity> {
        let leaf = CertificateDer::from_pem_slice(chain).ok()?;
        let leaf = Certificate::from_der(leaf.as_ref()).ok()?;
        let validity = leaf.tbs_certificate().validity();
        Some(Validity {
            from: UNIX_EPOCH + validity.not_before.to_unix_duration(),
            until: UNIX_EPOCH + validity.not_after.to_unix_duration(),
        })
    }

    /// Replaces the certificate. On an error the present one stays.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), CertificateError> {
        let current = Current::read(chain, key, &self.challenges)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// Answers an ACME directory's challenge for `name` by TLS-ALPN-01 (RFC 8737) with the digest of its key
    /// authorization, until the answer is dropped.
    pub fn answer_challenge(&self, name: &str, digest: &[u8]) -> Result<ChallengeAnswer, CertificateError> {
        self.challenges.answer(name, digest)
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Whether the present certificate is valid for this host name.
    pub fn is_for(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else { return false };
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let leaf = ParsedCertificate::try_from(&current.leaf);
        leaf.is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

impl Current {
    fn read(chain: &[u8], key: &[u8], challenges: &Challenges) -> Result<Self, CertificateError> {
        let (config, leaf) = server_config(chain, key, challenges)?;
        Ok(Self { config, leaf })
    }
}

fn server_config(
    chain: &[u8],
    key: &[u8],
    challenges: &Challenges,
) -> Result<(Arc<ServerConfig>, CertificateDer<'static>), CertificateError> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertificateError::Pem { what: "the certificate chain", source })?;
    let Some(leaf) = chain.first().cloned() else { return Err(CertificateError::Empty) };
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|source| CertificateError::Pem { what: "the private key", source })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let own = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver { own, challenges: challenges.clone() }));
    config.alpn_protocols =
        vec![b"h2".to_vec(), b"http/1.1".to_vec(), RELAY_PROTOCOL.to_vec(), challenge::PROTOCOL.to_vec()];
    Ok((Arc::new(config), leaf))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::self_signed;

    #[test]
    fn a_certificate_says_when_it_holds() {
        let now = std::time::UNIX_EPOCH + std::time::Duration::from_hours(1_000);
        let made = self_signed::make(&["localhost".to_owned()], now).unwrap();
        let validity = Certificates::validity(made.pem.as_bytes()).unwrap();
        assert_eq!(validity.until, made.until);
        assert!(validity.holds(now) && validity.from < now);
        assert!(!validity.holds(made.until + std::time::Duration::from_secs(1)));
        assert_eq!(Certificates::validity(b"nonsense"), None);
    }

    #[test]
    fn a_certificate_knows_its_names() {
        let names = ["calls.example".to_owned(), "*.calls.example".to_owned()];
        let made = self_signed::make(&names, std::time::UNIX_EPOCH).unwrap();
        let certificates = Certificates::from_pem(made.pem.as_bytes(), made.pem.as_bytes()).unwrap();
        for name in ["calls.example", "CALLS.example", "a.calls.example"] {
            assert!(certificates.is_for(name), "{name}");
        }
        for name in ["evil.example", "a.b.calls.example", "example", "", "calls.example/"] {
            assert!(!certificates.is_for(name), "{name}");
        }
    }

    #[test]
    fn a_bad_replacement_leaves_the_present_certificate() {
        let made = self_signed::make(&["localhost".to_owned()], std::time::UNIX_EPOCH).unwrap();
        let certificates = Certificates::from_pem(made.pem.as_bytes(), made.pem.as_bytes()).unwrap();
        let before = certificates.current();
        assert!(matches!(certificates.replace(b"", made.pem.as_bytes()), Err(CertificateError::Empty)));
        assert!(matches!(certificates.replace(made.pem.as_bytes(), b""), Err(CertificateError::Pem { .. })));
        let other = self_signed::make(&["localhost".to_owned()], std::time::UNIX_EPOCH).unwrap();
        assert!(matches!(
            certificates.replace(made.pem.as_bytes(), other.pem.as_bytes()),
            Err(CertificateError::Unusable(_))
        ));
        assert!(Arc::ptr_eq(&before, &certificates.current()));
        certificates.replace(other.pem.as_bytes(), other.pem.as_bytes()).unwrap();
        assert!(!Arc::ptr_eq(&before, &certificates.current()));
    }
}
