//! The served routes, the `OpenAPI` description and the guides agree.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::api::Api;
use tests::{Visavis, request};

/// A method and a path.
type Route = (String, String);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The paths of `.route("…"` in all sources that begin with one of these prefixes.
fn paths(beginnings: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![];
    for of in ["meetings", "server-bin", "signaling-transport", "web"] {
        folders.push(repository().join(of).join("src"));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                // If a line would be too long, the path is on the next one.
                for piece in source.split(".route(").skip(1) {
                    let path = piece.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                    found.extend(path.map(str::to_owned));
                }
            }
        }
    }
    found.retain(|path| beginnings.iter().any(|beginning| path.starts_with(beginning)));
    found
}

/// The methods of these paths, as the server reports them in `Allow`.
fn served(server: &Visavis, paths: &BTreeSet<String>) -> BTreeSet<Route> {
    let example = |path: &str| {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "abcdefghijklmnop" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let mut routes = BTreeSet::new();
    for path in paths {
        let answer = request(server.addr, "BREW", &example(path), &[], None);
        assert_eq!(answer.status, 405, "{path}: {}", answer.head);
        for method in answer.header("allow").split(',').map(str::trim) {
            if method != "HEAD" && method != "OPTIONS" {
                routes.insert((method.to_owned(), path.clone()));
            }
        }
    }
    routes
}

/// The first column of a guide's tables, such as `GET /meetings`.
fn tabled(guide: &str, prefix: &str) -> BTreeSet<Route> {
    let text = read(guide);
    let cells =
        text.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split('`').next());
    let routes = cells.filter_map(|cell| cell.split_once(" /"));
    routes
        .filter(|(method, _)| method.bytes().all(|byte| byte.is_ascii_uppercase()))
        .map(|(method, path)| (method.to_owned(), format!("{prefix}/{}", path.split('?').next().unwrap())))
        .collect()
}

fn lacking<'a>(of: &'a BTreeSet<Route>, others: &'a BTreeSet<Route>) -> Vec<&'a Route> {
    of.difference(others).collect()
}

#[test]
fn what_is_served_is_described_and_tabled_and_nothing_else() {
    let server = Visavis::start(&[]);
    let document = Api::anonymous(server.addr).get("/api/v1/openapi.json").json();
    let described: BTreeSet<Route> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (method.to_ascii_uppercase(), path.clone()))
        })
        .collect();
    // The wire protocol has its own guide, and messages that OpenAPI cannot describe.
    let is_wire = |(_, path): &Route| path.starts_with("/api/v1/sessions") || path == "/api/v1/ws";
    let is_itself = |(_, path): &Route| path == "/api/v1/openapi.json";
    let all = served(&server, &paths(&["/api/v1/"]));
    assert!(all.len() > 25, "{all:?}");
    let offered: BTreeSet<Route> =
        all.iter().filter(|route| !is_wire(route) && !is_itself(route)).cloned().collect();
    assert_eq!((lacking(&offered, &described), lacking(&described, &offered)), (vec![], vec![]), "OpenAPI");

    let mut tabled: BTreeSet<Route> = tabled("docs/meetings.md", "/api/v1");
    tabled.extend(self::tabled("docs/recordings.md", ""));
    tabled.retain(|route| !is_itself(route));
    assert_eq!(
        (lacking(&offered, &tabled), lacking(&tabled, &offered)),
        (vec![], vec![]),
        "the guides' tables"
    );

    let protocol = read("docs/signaling-protocol.md");
    let wire = all.iter().filter(|route| is_wire(route)).map(|(_, path)| path.clone());
    for path in wire.chain(paths(&["/whip/", "/whep/", "/socket.io/"])) {
        let path = path.trim_end_matches("/{session}").trim_end_matches('/');
        assert!(protocol.contains(path), "{path} in docs/signaling-protocol.md");
    }
}

#[test]
fn what_is_taken_without_being_said_is_described() {
    let server = Visavis::start(&[]);
    let document = Api::anonymous(server.addr).get("/api/v1/openapi.json").json();
    let schema =
        |name: &str, property: &str| document["components"]["schemas"][name]["properties"][property].clone();
    let seconds = schema("TokenWanted", "ttlSeconds");
    assert_eq!(
        (&seconds["default"], &seconds["minimum"], &seconds["maximum"]),
        (&3_600.into(), &1.into(), &2_592_000.into())
    );
    let seconds = schema("NewMeeting", "emptyTimeoutSeconds");
    assert_eq!(
        (&seconds["default"], &seconds["minimum"], &seconds["maximum"]),
        (&600.into(), &1.into(), &604_800.into())
    );
    for flag in ["lobby", "waitForHost"] {
        assert_eq!(schema("NewMeeting", flag)["default"], false, "{flag}");
    }
    let parameter = |path: &str, method: &str, name: &str| -> Value {
        let all = document["paths"][path][method]["parameters"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} of {method} {path}"))["schema"].clone()
    };
    for path in ["/api/v1/meetings", "/api/v1/rooms"] {
        let limit = parameter(path, "get", "limit");
        assert_eq!((&limit["default"], &limit["maximum"]), (&20.into(), &100.into()), "{path}");
        parameter(path, "post", "Idempotency-Key");
    }
    assert_eq!(parameter("/api/v1/meetings/{id}", "delete", "erase")["default"], false);
    for name in ["state", "from", "to", "after"] {
        parameter("/api/v1/meetings", "get", name);
    }
    parameter("/api/v1/recordings/{recording}/file", "get", "Range");
}
