//! Any bytes as a sealed packet, and as one to seal and to forge.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::srtp(data));
