//! Configurations of TLS and DTLS from one certificate.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use dimpl::DtlsCertificate;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use super::config::{Certificate, CertificateError};

/// The keys of a server; replaced as a whole when the certificate is.
#[derive(Clone, Default)]
pub(super) struct TlsContext {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) dtls: Option<DtlsContext>,
}

#[derive(Clone)]
pub(super) struct DtlsContext {
    pub(super) config: Arc<dimpl::Config>,
    pub(super) certificate: DtlsCertificate,
}

impl TlsContext {
    pub(super) fn new(certificate: &Certificate) -> Result<Self, CertificateError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
        // Connections to a relay are long, so session tickets would only cost memory.
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { tls: Some(Arc::new(tls)), dtls: DtlsContext::new(certificate) })
    }
}

impl DtlsContext {
    /// `None` unless the key is an ECDSA key in PKCS #8, the only kind that the DTLS engine signs with.
    fn new(certificate: &Certificate) -> Option<Self> {
        let PrivateKeyDer::Pkcs8(key) = &certificate.key else {
            tracing::warn!("no DTLS with this certificate: its key is not in PKCS #8");
            return None;
        };
        let key = key.secret_pkcs8_der();
        let is_usable = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING]
            .into_iter()
            .any(|algorithm| EcdsaKeyPair::from_pkcs8(algorithm, key).is_ok());
        if !is_usable {
            tracing::warn!("no DTLS with this certificate: its key is not one for ECDSA on P-256 or P-384");
            return None;
        }
        let config = dimpl::Config::builder()
            .require_client_certificate(false)
            // The address of the client is not validated before the cookie.
            .use_server_cookie(true)
            .build();
        match config {
            Ok(config) => Some(Self {
                config: Arc::new(config),
                certificate: DtlsCertificate {
                    certificate: certificate.chain.first()?.to_vec(),
                    private_key: key.to_vec(),
                },
            }),
            Err(error) => {
                tracing::warn!(%error, "no DTLS");
                None
            }
        }
    }
}
