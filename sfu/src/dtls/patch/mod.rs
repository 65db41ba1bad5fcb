//! What the DTLS library does not offer, done by editing what it reads and writes.
//!
//! Nothing outside this module knows of the edits. Each falls away when the library offers the same:
//!
//! | edit | what the library would offer |
//! | --- | --- |
//! | [`HelloReader`] puts a fragmented `ClientHello` together | a server that reassembles it |
//! | [`hide_slow_profile`](messages::hide_slow_profile) takes AES-256-GCM out of it | SRTP profiles in an order of preference |
//! | [`complete_request`] asks clients for RSA certificates, too | signature algorithms as a setting |
//! | [`provider`] verifies signatures of RSA keys | the same in its provider |

mod hello;
mod messages;
mod provider;
#[cfg(test)]
mod tests;

use dimpl::crypto::CryptoProvider;
use hello::{HelloReader, Read};
use messages::complete_request;

/// The edits of one association in which we are the server, until there are keys.
#[derive(Default)]
pub(super) struct Patch {
    hello: HelloReader,
    /// What goes to the library or the client instead.
    edited: Vec<u8>,
}

impl Patch {
    /// The cryptography of a server, which hashes and verifies what crossed the network instead of what the library has seen.
    pub(super) fn provider() -> CryptoProvider {
        provider::of_server()
    }

    /// What the library is to read instead of a client's datagram; `None` while more of it has to come.
    pub(super) fn read<'a>(&'a mut self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        match self.hello.read(datagram) {
            Read::Other => Some(datagram),
            Read::Incomplete => None,
            Read::Complete(hello) => {
                self.edited = hello;
                Some(&self.edited)
            }
        }
    }

    /// What the client gets instead of a datagram of the library; `None` when it may go as it is.
    pub(super) fn write(&mut self, datagram: &[u8]) -> Option<&[u8]> {
        self.edited = complete_request(datagram)?;
        Some(&self.edited)
    }
}
