//! Arbitrary bytes as the first inside TLS.
#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::first_bytes_inside_tls(data));
