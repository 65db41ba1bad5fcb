//! `visavis-load` with a real server: every shape is carried, and a server that refuses is reported with the limit.
//!
//! The thresholds are out of reach, so that a slow machine does not change the outcome.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test fails the test")]

use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::Visavis;
use tests::tokens::{SECRET, token};

/// Thresholds, each unless an argument sets it.
const PATIENT: [(&str, &str); 4] =
    [("--seconds", "1"), ("--late-ms", "1000000"), ("--delay-ms", "1000000"), ("--loss-percent", "100")];

fn run(server: SocketAddr, arguments: &[&str]) -> Output {
    let (shape, rest) = arguments.split_first().unwrap();
    let url = format!("https://{server}");
    let patient = PATIENT.into_iter().filter(|(name, _)| !rest.contains(name));
    Command::new(env!("CARGO_BIN_EXE_visavis-load"))
        .args([shape, url.as_str()])
        .args(["--insecure", "--json"])
        .args(patient.flat_map(|(name, value)| [name, value]))
        .args(rest)
        .output()
        .unwrap()
}

/// The report of a run.
fn report(server: &Visavis, arguments: &[&str]) -> Value {
    let output = run(server.addr, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_shape_is_carried_and_measured() {
    let server = Visavis::start(&["--metrics-listen", "127.0.0.1:0"]);
    let metrics = format!("http://{}/metrics", server.logged_addr("metrics ready"));
    let carries = |arguments: &[&str], people: [usize; 2]| {
        let sizes = ["--start", "1", "--most", "2", "--metrics", &metrics];
        let report = report(&server, &[arguments, &sizes].concat());
        assert_eq!(report["bend"]["kind"], "none", "{report}");
        assert_eq!(report["carried"], people[1], "{report}");
        let steps = report["steps"].as_array().unwrap();
        assert_eq!(steps.iter().map(|step| &step["people"]).collect::<Vec<_>>(), people, "{report}");
        for step in steps {
            let figure = |name: &str| step.pointer(name).and_then(Value::as_f64).unwrap();
            assert!(figure("/deliveredPercent") > 50.0, "{report}");
            assert!(figure("/delayP50Ms") > 0.0, "{report}");
            assert!(figure("/server/memoryMib") > 1.0 && figure("/server/coresUsed") >= 0.0, "{report}");
            if arguments[0] != "mesh" {
                assert!(figure("/mbitFromServer") > 0.3 && figure("/mbitToServer") > 0.3, "{report}");
            }
        }
    };
    carries(&["broadcast", "--kbps", "264"], [2, 3]);
    carries(&["conference", "--people", "3", "--kbps", "264"], [3, 6]);
    carries(&["mesh", "--people", "3"], [3, 6]);
    carries(&["relay", "--kbps", "264"], [2, 4]);
}

#[test]
fn a_server_with_a_limit_is_reported_as_refusing() {
    let refused = |server: &Visavis, arguments: &[&str], limit: &str| {
        let report = report(server, arguments);
        assert_eq!(report["bend"]["kind"], "refused", "{report}");
        assert!(report["bend"]["limit"].as_str().unwrap().contains(limit), "{report}");
        report
    };
    let mesh = ["mesh", "--start", "2", "--most", "10"];

    let few = Visavis::start(&["--connections-per-address", "5"]);
    let report = refused(&few, &mesh, "--connections-per-address");
    assert_eq!(report["carried"], 4, "{report}");
    assert!(report["bend"]["evidence"].to_string().contains("5 sessions"), "{report}");

    // One a second, with bursts of five.
    let slow = Visavis::start(&["--new-connections-per-second", "1"]);
    let fast = [&mesh[..], &["--joins-per-second", "1000"]].concat();
    refused(&slow, &fast, "--new-connections-per-second");
}

#[test]
fn a_server_that_requires_tokens_is_given_them() {
    let server = Visavis::start(&["--auth-key", SECRET]);
    let broadcast = ["broadcast", "--start", "1", "--most", "1"];
    let report_with = |arguments: &[&str]| report(&server, &[&broadcast, arguments].concat());
    let stranger = report_with(&[]);
    assert_eq!(stranger["bend"]["kind"], "refused", "{stranger}");
    assert!(stranger["bend"]["limit"].as_str().unwrap().contains("--auth-key"), "{stranger}");
    assert_eq!(stranger["carried"], 0, "{stranger}");
    assert_eq!(report_with(&["--auth-key", SECRET])["carried"], 2);
    assert_eq!(report_with(&["--token", &token("lesson", json!({}))])["carried"], 2);
}

#[test]
fn a_load_generator_that_is_late_says_so() {
    let server = Visavis::start(&[]);
    let report = report(&server, &["mesh", "--start", "1", "--most", "1", "--late-ms", "0"]);
    assert_eq!(report["bend"]["kind"], "generator", "{report}");
    assert!(report["bend"]["what"].as_str().unwrap().contains("the load generator is the limit"), "{report}");
}

#[test]
fn a_certificate_is_checked_and_what_is_no_server_is_an_error() {
    let server = Visavis::start(&[]);
    let url = format!("https://{}", server.addr);
    let strict = Command::new(env!("CARGO_BIN_EXE_visavis-load")).args(["mesh", &url]).output().unwrap();
    assert!(!strict.status.success());
    assert!(String::from_utf8_lossy(&strict.stderr).contains("--insecure"));
    server.terminate();
    let addr = server.addr;
    server.wait();
    assert!(!run(addr, &["mesh"]).status.success());
}
