//! Settings from flags, environment and file.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::process::Output;
use std::sync::Arc;

use tests::{Visavis, run};

fn config(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("visavis.toml"), "listen = '127.0.0.1:1'\nlog-level = 'warn'\n").unwrap();
    let arguments: Vec<&str> =
        ["config", "--config", "visavis.toml"].iter().chain(arguments).copied().collect();
    run(folder.path(), &arguments, environment)
}

fn line(output: &Output, key: &str) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn flags_count_more_than_the_environment_and_that_more_than_the_file() {
    let environment = [("VISAVIS_LISTEN", "127.0.0.1:2"), ("HTTP_PORT", "4")];
    assert_eq!(line(&config(&[], &[]), "listen"), "listen = \"127.0.0.1:1\" # file visavis.toml");
    assert_eq!(
        line(&config(&[], &environment), "listen"),
        "listen = \"127.0.0.1:2\" # environment VISAVIS_LISTEN"
    );
    assert_eq!(
        line(&config(&[], &environment[1..]), "listen"),
        "listen = \"127.0.0.1:4\" # environment HTTP_PORT"
    );
    let flag = config(&["--listen", "127.0.0.1:3"], &environment);
    assert_eq!(line(&flag, "listen"), "listen = \"127.0.0.1:3\" # flag --listen");
    assert_eq!(line(&flag, "log-level"), "log-level = \"warn\" # file visavis.toml");
    assert_eq!(line(&flag, "tls"), "tls = \"auto\" # default");
}

#[test]
fn unknown_keys_variables_and_flags_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.toml"), "lisen = ':1'\n").unwrap();
    // The server itself rejects them like `visavis config`.
    let told = refusal(&run(folder.path(), &["--config", "bad.toml"], &[]));
    assert_eq!(told, "visavis: unknown key `lisen` in bad.toml; did you mean listen?\n");
    let told = refusal(&run(folder.path(), &[], &[("VISAVIS_LISEN", ":1")]));
    assert_eq!(told, "visavis: unknown environment variable VISAVIS_LISEN; did you mean VISAVIS_LISTEN?\n");
    assert!(refusal(&run(folder.path(), &["--lisen", ":1"], &[])).contains("--lisen"));
    assert!(refusal(&run(folder.path(), &["--config", "none.toml"], &[])).contains("none.toml"));
    assert!(
        !folder.path().join("visavis-data").exists(),
        "nothing is made before the settings are known to be good"
    );
}

#[test]
fn credentials_are_shown_nowhere() {
    let shown = config(&["--ice-server", "turn:relay.example,user,hush"], &[]);
    assert!(line(&shown, "ice-server").contains("(hidden)"));
    assert!(!String::from_utf8(shown.stdout).unwrap().contains("hush"));
    let refused = config(&[], &[("VISAVIS_ICE_SERVER", "turm:relay.example,user,hush")]);
    assert!(!refusal(&refused).contains("hush"));
}

#[test]
fn commands_about_a_server_make_none() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["api-key", "list"][..],
        &["api-key", "create", "--scope", "admin"],
        &["api-key", "revoke", "some-id"],
        &["turn-credentials"],
        &["backup", "copy"],
        &["recordings", "finalize"],
    ] {
        let refused = run(folder.path(), command, &[]);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("visavis-data") && told.contains("--data-dir"), "{command:?}: {told}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{command:?}");
    }
    for command in [&["api-key", "create", "--scope", "admin", "--init"][..], &["turn-credentials", "--init"]]
    {
        let made = run(folder.path(), command, &[]);
        assert!(made.status.success() && !made.stdout.is_empty(), "{made:?}");
    }
    // The server uses what was created.
    let key = String::from_utf8(run(folder.path(), &["api-key", "create", "--scope", "rooms"], &[]).stdout)
        .unwrap();
    let server = Visavis::start_in(Arc::new(folder), &[]);
    let keyed = tests::api::Api::with_bearer(server.addr, key.trim());
    assert_eq!(keyed.get("/api/v1/rooms").status, 200);
}

#[test]
fn a_number_below_nothing_gets_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for setting in ["--recording-keep-days", "--workers", "--connections-per-address"] {
        let refused = run(folder.path(), &[setting, "-1"], &[]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("expected a whole number from 0 to"), "{told}");
    }
}

#[test]
fn no_bound_is_what_zero_means_for_connections() {
    let server = Visavis::start(&["--connections-per-address", "0", "--new-connections-per-second", "0"]);
    for _ in 0..400 {
        assert_eq!(tests::get(server.addr, "/livez").status, 200);
    }
}
