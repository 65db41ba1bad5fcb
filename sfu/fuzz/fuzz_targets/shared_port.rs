//! Arbitrary bytes as a datagram on the port that media and a relay share.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::shared_port(data));
