//! Arbitrary bytes as an encrypted packet, and as one to encrypt and forge.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::srtp(data));
