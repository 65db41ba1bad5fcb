//! Answers to requests that may be repeated.

use async_trait::async_trait;
use signaling_core::Refusal;

/// A request that may be repeated (the `Idempotency-Key` header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// The owner of the idempotency key; keys of different owners are unrelated.
    pub owner: String,
    /// The idempotency key.
    pub key: String,
    /// A digest of the request.
    pub digest: String,
}

/// Stores the answers to requests that may be repeated.
#[async_trait]
pub trait Replies: Send + Sync {
    /// The earlier answer to this request; `idempotency-mismatch` if its key was used for another request.
    async fn former(&self, request: &Repeatable) -> Result<Option<String>, Refusal>;
    /// Stores an answer. If another was stored in the meantime, that one is returned, and counts.
    async fn keep(&self, request: &Repeatable, answer: &str) -> Result<Option<String>, Refusal>;
}

/// Stores nothing, and refuses requests that rely on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplies;

#[async_trait]
impl Replies for NoReplies {
    async fn former(&self, _request: &Repeatable) -> Result<Option<String>, Refusal> {
        Err(Refusal::bad_request("this server honours no `Idempotency-Key` here"))
    }

    async fn keep(&self, _request: &Repeatable, _answer: &str) -> Result<Option<String>, Refusal> {
        Ok(None)
    }
}
