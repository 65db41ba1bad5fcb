//! Errors at the crate's boundary.

/// An error of the media server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SfuError {
    /// The key or certificate of the server could not be generated.
    #[error("the certificate of the media server could not be made")]
    Certificate,
    /// The configuration is invalid.
    #[error("configuration: {0}")]
    Config(&'static str),
    /// A socket could not be opened or configured.
    #[error("media socket")]
    Socket(#[from] std::io::Error),
}
