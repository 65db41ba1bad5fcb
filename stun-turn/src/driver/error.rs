//! Errors of starting a server.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use super::config::CertificateError;
use crate::five_tuple::Transport;

/// The reason why a server does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// An address to listen on is taken, or not of this machine.
    #[error("cannot listen on {address} ({transport:?})")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The transport.
        transport: Transport,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A listener for TLS or DTLS alone, and nothing to speak it with.
    #[error("{transport:?} on {address} needs a certificate that fits")]
    NoCertificate {
        /// The address.
        address: SocketAddr,
        /// The transport.
        transport: Transport,
    },
    /// The certificate can't be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The range of relay ports is empty.
    #[error("the range of relay ports is empty")]
    NoRelayPorts,
    /// The system has no more descriptors, or no random numbers.
    #[error("the system refused")]
    System(#[source] io::Error),
}
