//! Adds features to the DTLS library by editing the messages that it reads and writes.
//!
//! The edits are invisible outside this module. Each becomes unnecessary when the library offers the feature itself:
//!
//! | edit | feature of the library that would replace it |
//! | --- | --- |
//! | [`HelloReader`] reassembles a fragmented `ClientHello` | reassembly in the server |
//! | [`hide_slow_profile`](messages::hide_slow_profile) hides AES-256-GCM in it | a preference among SRTP profiles |
//! | [`complete_request`] requests RSA certificates, too | a setting for signature algorithms |
//! | [`provider`] verifies RSA signatures | RSA in the library's provider |

mod hello;
mod messages;
mod provider;
#[cfg(test)]
mod tests;

use dimpl::crypto::CryptoProvider;
use hello::{HelloReader, Read};
use messages::complete_request;

/// The edits of one association in which we are the server, until the keys are exported.
#[derive(Default)]
pub(super) struct Patch {
    hello: HelloReader,
    /// The datagram that replaces the original one.
    edited: Vec<u8>,
}

impl Patch {
    /// The cryptography of a server, which hashes and verifies the messages sent over the network rather than
    /// those seen by the library.
    pub(super) fn provider() -> CryptoProvider {
        provider::of_server()
    }

    /// The datagram that the library reads instead of a client's; `None` while fragments are missing.
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

    /// The datagram that the client receives instead of the library's; `None` if it is unchanged.
    pub(super) fn write(&mut self, datagram: &[u8]) -> Option<&[u8]> {
        self.edited = complete_request(datagram)?;
        Some(&self.edited)
    }
}
