//! Who may have a relay: long-term credentials, their keys, and nonces that need no memory.

pub mod credentials;
mod nonce;

pub use credentials::{Credentials, EphemeralCredentials, StaticUser};
pub use nonce::{NonceKey, NonceState};
