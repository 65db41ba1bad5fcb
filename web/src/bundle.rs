//! The SDK as one module, for pages that load it from another origin or without a chain of requests.
//!
//! It is composed from the modules when the server starts, since there is no build step. Each module becomes a function,
//! which keeps its own names to itself, and returns what it exports. The modules of the SDK use only the forms of
//! `import` and `export` that this file reads: named imports on one line, exported declarations, and re-exports.

use std::fmt::Write as _;

use crate::asset::Folder;

/// Modules in the order in which they run, and the text composed of them.
#[derive(Default)]
struct Bundle {
    /// Paths of the modules; the index is part of the name of a module's exports.
    modules: Vec<String>,
    text: String,
}

/// The module at `entry` with everything that it imports.
pub(crate) fn compose(entry: &str) -> String {
    let mut bundle = Bundle::default();
    let exported = bundle.add(entry).map(|index| names_exported(&source(entry), index)).unwrap_or_default();
    let _ = writeln!(bundle.text, "export const {exported};");
    bundle.text
}

/// The names that the entry exports, taken from the result of its function.
fn names_exported(source: &str, index: usize) -> String {
    let names =
        source.lines().filter_map(|line| Statement::of(line).exported()).collect::<Vec<_>>().join(", ");
    format!("{{ {names} }} = m{index}")
}

impl Bundle {
    /// Adds a module after those that it imports; its index. A module that is missing or refers to itself is left out,
    /// which a test excludes.
    fn add(&mut self, path: &str) -> Option<usize> {
        if let Some(known) = self.modules.iter().position(|module| module == path) {
            return Some(known);
        }
        let (module, mut body, mut exports) = (source(path), String::new(), Vec::new());
        for line in module.lines() {
            let statement = Statement::of(line);
            exports.extend(statement.exported());
            match statement {
                Statement::Import { names, from } | Statement::Reexport { names, from } => {
                    let index = self.add(&resolve(path, from))?;
                    let _ = writeln!(body, "const {{ {names} }} = m{index};");
                }
                Statement::Export { declaration, .. } => body.extend([declaration, "\n"]),
                Statement::Nothing => {}
                Statement::Other(line) => body.extend([line, "\n"]),
            }
        }
        let index = self.modules.len();
        self.modules.push(path.to_owned());
        let exports = exports.join(", ");
        let _ = writeln!(
            self.text,
            "// {path}\nconst m{index} = (() => {{\n{body}return {{ {exports} }};\n}})();"
        );
        Some(index)
    }
}

/// A line of a module.
enum Statement<'a> {
    Import {
        names: &'a str,
        from: &'a str,
    },
    Reexport {
        names: &'a str,
        from: &'a str,
    },
    Export {
        declaration: &'a str,
        name: &'a str,
    },
    /// `export {};`, by which a file of types is a module.
    Nothing,
    Other(&'a str),
}

impl<'a> Statement<'a> {
    fn of(line: &'a str) -> Self {
        if let Some((names, from)) = line.strip_prefix("import ").and_then(named) {
            return Self::Import { names, from };
        }
        let Some(rest) = line.strip_prefix("export ") else { return Self::Other(line) };
        if let Some((names, from)) = named(rest) {
            return Self::Reexport { names, from };
        }
        let mut words =
            rest.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '$'));
        let name = words.find(|word| !["", "async", "class", "const", "function"].contains(word));
        name.map_or(Self::Nothing, |name| Self::Export { declaration: rest, name })
    }

    fn exported(&self) -> Option<&'a str> {
        match self {
            Self::Reexport { names, .. } => Some(names),
            Self::Export { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// The names and the path of `{ names } from 'path';`.
fn named(clause: &str) -> Option<(&str, &str)> {
    let (names, from) = clause.strip_prefix('{')?.split_once("} from '")?;
    Some((names.trim(), from.strip_suffix("';")?))
}

/// The path to which a relative reference in a module leads.
fn resolve(module: &str, reference: &str) -> String {
    let mut path: Vec<_> = module.split('/').collect();
    path.pop();
    for step in reference.split('/') {
        match step {
            "." => {}
            ".." => drop(path.pop()),
            step => path.push(step),
        }
    }
    path.join("/")
}

fn source(path: &str) -> String {
    let file = Folder::Sdk.get(path);
    file.map(|file| String::from_utf8_lossy(&file.data).into_owned()).unwrap_or_default()
}
