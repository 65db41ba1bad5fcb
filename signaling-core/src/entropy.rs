//! Randomness, as an argument.

/// A source of unguessable bytes.
pub trait Entropy: Send {
    /// Fills the slice.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(
        clippy::expect_used,
        reason = "without randomness no id and no secret may be made: ending is safer"
    )]
    fn fill(&mut self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system has random numbers");
    }
}
