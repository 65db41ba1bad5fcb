//! Authentication: long-term credentials, and nonces that the server does not store.

pub mod credentials;
mod nonce;

pub use credentials::{Credentials, EphemeralCredentials, StaticUser};
pub use nonce::{NonceKey, NonceState};
