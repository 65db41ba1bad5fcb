//! The randomness of the operating system.

use aws_lc_rs::rand;
use signaling_core::Entropy;

pub(super) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // If there is no randomness, the name is taken already, and creating the file fails.
        let _ = rand::fill(bytes);
    }
}
