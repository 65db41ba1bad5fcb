//! The cryptography of our handshakes as a server: that of the library over what has [really been said](super::messages::restore), and
//! certificates with RSA keys.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters,
    UnparsedPublicKey,
};
use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
    aws_lc_rs as library,
};
use dimpl::{CryptoError, CryptoOperation};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::messages::restore;

/// For the side that reads a `ClientHello` and writes a `CertificateRequest`.
pub(super) fn of_server() -> CryptoProvider {
    CryptoProvider { hash_provider: &Said, signature_verification: &Said, ..library::default_provider() }
}

/// Hashes and verifies what crossed the network.
#[derive(Debug)]
struct Said;

impl HashProvider for Said {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(SaidHash(library::default_provider().hash_provider.create_hash(algorithm)))
    }
}

#[derive(Debug)]
struct SaidHash(Box<dyn HashContext>);

impl HashContext for SaidHash {
    fn update(&mut self, data: &[u8]) {
        // The library hashes a transcript in one go, from its beginning.
        self.0.update(&restore(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

impl SignatureVerifier for Said {
    fn verify_signature(
        &self,
        certificate: &[u8],
        transcript: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let said = restore(transcript);
        if algorithm == SignatureAlgorithm::RSA {
            return verify_rsa(certificate, &said, signature, hash);
        }
        let verifier = library::default_provider().signature_verification;
        verifier.verify_signature(certificate, &said, signature, hash, algorithm)
    }
}

fn verify_rsa(
    certificate: &[u8],
    said: &[u8],
    signature: &[u8],
    hash: HashAlgorithm,
) -> Result<(), CryptoError> {
    let parameters: &RsaParameters = match hash {
        HashAlgorithm::SHA256 => &RSA_PKCS1_2048_8192_SHA256,
        HashAlgorithm::SHA384 => &RSA_PKCS1_2048_8192_SHA384,
        HashAlgorithm::SHA512 => &RSA_PKCS1_2048_8192_SHA512,
        _ => return Err(CryptoError::UnsupportedSignatureAlgorithm(SignatureAlgorithm::RSA)),
    };
    let certificate = Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
    let key = &certificate.tbs_certificate().subject_public_key_info().subject_public_key;
    let key = key.as_bytes().ok_or(CryptoError::InvalidSubjectPublicKey)?;
    // A key of another kind does not parse as one of RSA.
    let is_valid = UnparsedPublicKey::new(parameters, key).verify(said, signature);
    is_valid.map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
}
