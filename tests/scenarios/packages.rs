//! The packages of the libraries: what is in them, and that each says what it is.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails in a test fails the test"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates that are no libraries for others.
const OWN: [&str; 4] = ["bench", "examples", "server-bin", "tests"];
/// What `cargo` adds to every package, and what every package has.
const ALWAYS: [&str; 8] = [
    ".cargo_vcs_info.json",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "src/lib.rs",
];
/// Folders that a package may have.
const FOLDERS: [&str; 5] = ["src", "examples", "migrations", "page", "sdk"];

fn cargo(arguments: &[&str]) -> String {
    let said = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

fn libraries() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let mut metadata: Value = serde_json::from_str(&metadata).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else { panic!("no packages") };
    packages.into_iter().filter(|one| !OWN.contains(&one["name"].as_str().unwrap())).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn each_package_says_what_it_is() {
    for package in libraries() {
        let name = package["name"].as_str().unwrap();
        assert!(package["description"].as_str().is_some_and(|text| text.len() > 30), "{name}: description");
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{name}");
        assert_eq!(package["readme"], "README.md", "{name}");
        assert!(package["rust_version"].is_string(), "{name}: rust-version");
        let keywords = words(&package["keywords"]);
        assert!((2..=5).contains(&keywords.len()), "{name}: {keywords:?}");
        assert!(keywords.iter().all(|word| word.len() <= 20), "{name}: {keywords:?}");
        assert!(!words(&package["categories"]).is_empty(), "{name}: categories");
        for dependency in package["dependencies"].as_array().unwrap() {
            let is_local = dependency["path"].is_string() && dependency["kind"] != "dev";
            assert!(!is_local || dependency["req"] != "*", "{name}: {} needs a version", dependency["name"]);
        }
    }
}

#[test]
fn each_package_contains_what_one_would_download() {
    for package in libraries() {
        let name = package["name"].as_str().unwrap();
        let list = cargo(&["package", "--list", "--allow-dirty", "--package", name]);
        let files: Vec<&str> = list.lines().collect();
        // The first is of a checkout with git, the second of a package that locks its dependencies.
        for file in &ALWAYS[2..] {
            assert!(files.contains(file), "{name} lacks {file}");
        }
        let is_wanted = |file: &str| {
            ALWAYS.contains(&file) || FOLDERS.iter().any(|folder| file.starts_with(&format!("{folder}/")))
        };
        let unwanted: Vec<&&str> = files.iter().filter(|file| !is_wanted(file)).collect();
        assert!(unwanted.is_empty(), "{name} contains {unwanted:?}");
    }
}

/// The documentation of a crate as a page of its own: code without its hidden lines, and names without links.
fn page(name: &str, source: &str) -> String {
    let mut page = format!("# {name}\n\n");
    let mut is_code = false;
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with("```") {
            is_code = !is_code;
            page.push_str(if is_code { "```rust\n" } else { "```\n" });
        } else if !is_code {
            writeln!(
                page,
                "{}",
                without_links(line).replacen("# ", "## ", usize::from(line.starts_with("# ")))
            )
            .unwrap();
        } else if line != "#" && !line.starts_with("# ") {
            writeln!(page, "{line}").unwrap();
        }
    }
    page.push_str(
        "\nIt is a part of Visavis, self-hosted video calls from one binary, and is licensed under MIT or Apache-2.0, as you\nlike.\n",
    );
    page
}

/// Markdown of a line with [`name`] and [`name`](target) as plain `name`.
fn without_links(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("[`") {
        let (name, after) = after.split_once("`]").unwrap_or_else(|| panic!("a link has no end: {line}"));
        write!(plain, "{before}`{name}`").unwrap();
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain + rest
}

#[test]
fn the_page_of_each_package_is_its_documentation() {
    for package in libraries() {
        let name = package["name"].as_str().unwrap();
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let source = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        let (expected, readme) = (page(name, &source), folder.join("README.md"));
        assert!(expected.contains("```rust\n"), "{name} has no example");
        if std::env::var_os("UPDATE_READMES").is_some() {
            fs::write(&readme, &expected).unwrap();
        }
        let found = fs::read_to_string(&readme).unwrap();
        assert_eq!(found, expected, "{name}: run it with UPDATE_READMES=1");
    }
}
