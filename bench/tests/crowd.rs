//! `bench crowd` with a real server: a room of which the sound of a few is sent, whose people come and go.
#![allow(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::process::Command;

use tests::Visavis;

#[test]
fn everybody_has_whom_they_should_after_coming_and_going() {
    let server = Visavis::start(&[]);
    let url = format!("https://{}", server.addr);
    let sizes = [
        "--people",
        "12",
        "--cameras",
        "3",
        "--seconds",
        "3",
        "--changes-per-second",
        "3",
        "--plays-every",
        "2",
    ];
    let output =
        Command::new(env!("CARGO_BIN_EXE_bench")).args(["crowd", &url, "-k"]).args(sizes).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("everybody has everybody"), "{said}{output:?}");
}
