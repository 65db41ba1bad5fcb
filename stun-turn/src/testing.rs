//! A user of a server, without I/O: for tests, load generators and diagnosis.

#[cfg(test)]
use std::time::Instant;

use crate::wire::attribute as attr;
use crate::wire::{IntegrityAlgorithm, Key, MessageBuilder, PasswordAlgorithm, TransactionId, attributes};

/// The realm of every server that is not told another one.
const REALM: &[u8] = b"visavis";

/// A name and a key, and the nonce that the server last gave (RFC 8489 section 9.2).
pub struct User {
    name: String,
    key: Key,
    nonce: Vec<u8>,
    transactions: u32,
}

/// An error response (RFC 8489 section 14.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its code, such as 401.
    pub code: u16,
    /// All of it.
    pub answer: Vec<u8>,
}

impl User {
    /// A user by what a server hands out.
    pub fn new(name: &str, password: &str) -> Self {
        let key = Key::new(PasswordAlgorithm::Md5, name.as_bytes(), REALM, password.as_bytes());
        Self { name: name.to_owned(), key, nonce: Vec::new(), transactions: 0 }
    }

    /// Makes a request of what `fill` adds, and has `exchange` send it and give the answer; again with each new nonce.
    ///
    /// # Errors
    ///
    /// The server refused, or its answer lacks the user's signature (code 0).
    pub fn request(
        &mut self,
        method: u16,
        fill: impl Fn(&mut MessageBuilder),
        mut exchange: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<Vec<u8>, Refused> {
        loop {
            self.transactions += 1;
            let mut transaction = [0; 12];
            transaction.iter_mut().zip(self.transactions.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
            let mut message = MessageBuilder::request(method, TransactionId(transaction));
            fill(&mut message);
            message.bytes(attr::USERNAME, self.name.as_bytes());
            message.bytes(attr::REALM, REALM);
            message.bytes(attr::NONCE, &self.nonce);
            let answer = exchange(&message.finish(Some((&self.key, IntegrityAlgorithm::Sha1))));
            let found = |kind| attributes(&answer).find(|(found, _)| *found == kind).map(|(_, value)| value);
            let code = match found(attr::ERROR_CODE) {
                None => {
                    // An answer without the user's signature is not the server's.
                    let is_signed = self.key.signed(&answer);
                    return if is_signed { Ok(answer) } else { Err(Refused { code: 0, answer }) };
                }
                Some([_, _, class, number, ..]) => u16::from(*class) * 100 + u16::from(*number),
                Some(_) => 0,
            };
            match found(attr::NONCE) {
                Some(nonce) if matches!(code, 401 | 438) && nonce != self.nonce => {
                    self.nonce = nonce.to_vec();
                }
                _ => return Err(Refused { code, answer }),
            }
        }
    }
}

/// The beginning of virtual time for unit tests. Nothing is measured by it.
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an Instant can't be made in any other way")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
