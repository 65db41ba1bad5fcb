//! ARCHITECTURE.md agrees with the manifests and the tree.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Crates around the server, with unrestricted imports.
const AROUND: [&str; 3] = ["bench", "examples", "tests"];

/// The graph in the document: one line per crate, with its imports behind the arrow.
fn documented(document: &str) -> Graph {
    let (_, rest) = document.split_once("```text\n").unwrap();
    let (graph, _) = rest.split_once("```").unwrap();
    let line = |line: &str| {
        let (name, imports) = line.split_once("──►").unwrap_or_else(|| panic!("no arrow in {line:?}"));
        (name.trim().to_owned(), imports.split_whitespace().map(str::to_owned).collect())
    };
    graph.lines().map(line).collect()
}

/// The graph of the manifests, without dev-dependencies.
fn manifests() -> Graph {
    let said = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: Value = serde_json::from_slice(&said.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |of: &Value| of["name"].as_str().unwrap().to_owned();
    let own: BTreeSet<String> = packages.iter().map(name).collect();
    let imports = |package: &Value| {
        let normal = package["dependencies"].as_array().unwrap().iter().filter(|one| one["kind"].is_null());
        normal.map(name).filter(|name| own.contains(name)).collect()
    };
    let all = packages.iter().map(|package| (name(package), imports(package)));
    all.filter(|(name, _)| !AROUND.contains(&&**name)).collect()
}

#[test]
fn the_graph_of_the_document_is_that_of_the_manifests() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let documented = documented(&std::fs::read_to_string(document).unwrap());
    assert_eq!(documented, manifests(), "left: ARCHITECTURE.md, right: the manifests");
}

#[test]
fn every_dependency_has_its_reason() {
    let read =
        |file: &str| std::fs::read_to_string(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (manifest, document) = (read("Cargo.toml"), read("ARCHITECTURE.md"));
    let (_, rest) = manifest.split_once("[workspace.dependencies]\n").unwrap();
    let (dependencies, _) = rest.split_once("\n[").unwrap();
    let (_, table) = document.split_once("## Dependencies, and why").unwrap();
    let first_cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let explained: BTreeSet<&str> = first_cells.flat_map(|cell| cell.split(", ")).collect();
    let foreign = dependencies
        .lines()
        .filter(|line| !line.contains("path = "))
        .filter_map(|line| line.split_once(" = "));
    let unexplained: Vec<&str> =
        foreign.map(|(name, _)| name).filter(|name| !explained.contains(name)).collect();
    assert!(unexplained.is_empty(), "ARCHITECTURE.md does not say why these are here: {unexplained:?}");
}

/// Whether a word of the document is the name of a file or folder, by the characters that only such names have.
fn is_path(word: &str) -> bool {
    let is_plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
    let is_source = [".rs", ".js", ".html", ".md", ".ts"].iter().any(|end| word.ends_with(end));
    is_plain && !word.starts_with('/') && (is_source || word.contains('/'))
}

#[test]
fn every_path_of_the_document_is_there() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let document = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (mut folder, mut missing, mut found) = (None, Vec::new(), 0);
    for line in document.lines() {
        // An item of "Where to look" names its folder in bold, and then files in it.
        if let Some((bold, _)) = line.strip_prefix("- **`").and_then(|line| line.split_once("`**")) {
            folder = Some(bold);
        } else if !line.starts_with("  ") {
            folder = None;
        }
        for word in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            let is_there = |folder: &str| root.join(folder).join(word).exists();
            if is_there("") || folder.is_some_and(is_there) {
                found += 1;
            } else {
                missing.push(word);
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
    assert!(found > 100, "{found} paths");
}
