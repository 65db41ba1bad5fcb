//! Why a server does not start.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use super::config::CertificateError;
use crate::five_tuple::Transport;

/// Why a server does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// An address to listen on is taken, or not of this machine.
    #[error("can not listen on {address} ({transport:?})")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// How.
        transport: Transport,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A listener for TLS or DTLS alone, and nothing to speak it with.
    #[error("{transport:?} on {address} needs a certificate that fits")]
    NoCertificate {
        /// Which one.
        address: SocketAddr,
        /// How.
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
