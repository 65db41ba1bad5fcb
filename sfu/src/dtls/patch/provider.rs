//! The cryptography of handshakes in which we are the server: that of the library, applied to the
//! [restored](super::messages::restore) messages, with RSA certificates in addition.

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

/// The provider of the side that reads a `ClientHello` and writes a `CertificateRequest`.
pub(super) fn of_server() -> CryptoProvider {
    CryptoProvider { hash_provider: &Said, signature_verification: &Said, ..library::default_provider() }
}

/// Hashes and verifies the messages as sent over the network.
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
        // The library hashes a transcript in one call, from its beginning.
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
    // A key of another type does not parse as an RSA key.
    let is_valid = UnparsedPublicKey::new(parameters, key).verify(said, signature);
    is_valid.map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
}
