//! Arbitrary bytes as the datagrams of a DTLS client.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::dtls(data));
