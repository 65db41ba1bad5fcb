//! Arbitrary bytes as the beginning of a TCP connection to the one port.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::first_bytes(data));
