//! What can go wrong at the crate's boundary.

/// Errors that the caller of the media server sees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SfuError {
    /// The system refused to make a key or a certificate.
    #[error("the certificate of the media server could not be made")]
    Certificate,
    /// The configuration contradicts itself.
    #[error("configuration: {0}")]
    Config(&'static str),
    /// A socket could not be opened or configured.
    #[error("media socket")]
    Socket(#[from] std::io::Error),
}
