//! Arbitrary bytes as a datagram, up to the connectivity check in it.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::demux(data));
