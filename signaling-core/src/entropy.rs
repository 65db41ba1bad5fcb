//! Randomness, which the driver provides.

/// A source of unguessable bytes.
pub trait Entropy: Send {
    /// Fills the slice.
    fn fill(&mut self, bytes: &mut [u8]);
}
