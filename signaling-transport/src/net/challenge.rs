//! The answers to an ACME directory's challenges by TLS-ALPN-01 (RFC 8737).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::CertificateError;

/// The application protocol of the directory's check.
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";

/// The certificates that answer challenges, by the name that is checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Challenges(Arc<RwLock<HashMap<String, Arc<CertifiedKey>>>>);

/// An answer to a challenge, given until this is dropped.
#[derive(Debug)]
pub struct ChallengeAnswer {
    challenges: Challenges,
    name: String,
}

impl Challenges {
    /// Answers the challenge for `name` with the digest of its key authorization.
    pub(super) fn answer(&self, name: &str, digest: &[u8]) -> Result<ChallengeAnswer, CertificateError> {
        let name = name.to_ascii_lowercase();
        let mut params = CertificateParams::new([name.clone()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Its critical extension is one that no parser of certificates for servers knows.
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(vec![certificate], key);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Arc::new(certified));
        Ok(ChallengeAnswer { challenges: self.clone(), name })
    }
}

impl Drop for ChallengeAnswer {
    fn drop(&mut self) {
        self.challenges.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// Chooses the certificate of a handshake: the server's own, or for the directory's check the answer to its challenge.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) own: Arc<CertifiedKey>,
    pub(super) challenges: Challenges,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_check = hello.alpn().is_some_and(|mut offered| offered.all(|protocol| protocol == PROTOCOL));
        if !is_check {
            return Some(Arc::clone(&self.own));
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.challenges.0.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }
}
