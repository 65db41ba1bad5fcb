//! Scripts and style sheets with everything that they import, as one resource each: a module that a browser has to read
//! before it knows what else to fetch costs a round trip, and the page has seven such steps.
//!
//! They are composed when the server starts, since there is no build step. Each module becomes a function, which keeps
//! its own names to itself, and returns what it exports; the entry's own text stands at the end, outside of a function,
//! where it may await. The modules use only the forms of `import` and `export` that this file reads: named imports on one
//! line, exported declarations, and re-exports.

use std::fmt::Write as _;

use crate::asset;

/// The module at `entry` with everything that it imports, as the resource at `address`; both are paths below the root of
/// the page, without a slash at the beginning.
pub(crate) fn script(entry: &str, address: &str) -> String {
    let root = "../".repeat(address.matches('/').count());
    let mut bundle = Bundle { root, modules: Vec::new(), text: String::new() };
    let entry = bundle.translate(entry);
    let mut text = bundle.text + &entry.body;
    if !entry.exports.is_empty() {
        let _ = writeln!(text, "export {{ {} }};", entry.exports.join(", "));
    }
    text
}

/// The style sheet at `path` with what it imports in its place. Relative references to anything else are not followed.
pub(crate) fn style(path: &str) -> String {
    let text = asset::text(path);
    let lines = text.lines().map(|line| {
        match line.strip_prefix("@import '").and_then(|rest| rest.strip_suffix("';")) {
            Some(imported) => style(&resolve(path, imported)),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// Modules in the order in which they run, and the text composed of them.
struct Bundle {
    /// The relative path from the bundle to the root of the page.
    root: String,
    /// Paths of the modules; the index is part of the name of a module's exports.
    modules: Vec<String>,
    text: String,
}

/// A module with its imports replaced by names from the modules before it.
#[derive(Default)]
struct Translated {
    body: String,
    /// The names that it exports.
    exports: Vec<String>,
}

impl Bundle {
    /// Adds a module after those that it imports; its index. Modules do not import each other in a circle, which a test
    /// excludes.
    fn add(&mut self, path: &str) -> usize {
        if let Some(known) = self.modules.iter().position(|module| module == path) {
            return known;
        }
        let Translated { body, exports } = self.translate(path);
        let (index, exports) = (self.modules.len(), exports.join(", "));
        self.modules.push(path.to_owned());
        let _ = writeln!(
            self.text,
            "// {path}\nconst module{index} = (() => {{\n{body}return {{ {exports} }};\n}})();"
        );
        index
    }

    fn translate(&mut self, path: &str) -> Translated {
        let mut translated = Translated::default();
        let own_address = format!("new URL('{}{path}', import.meta.url).href", self.root);
        for line in asset::text(path).replace("import.meta.url", &own_address).lines() {
            let statement = Statement::of(line);
            translated.exports.extend(statement.exported().map(str::to_owned));
            match statement {
                Statement::Import { names, from } | Statement::Reexport { names, from } => {
                    let index = self.add(&resolve(path, from));
                    let names = names.replace(" as ", ": ");
                    let _ = writeln!(translated.body, "const {{ {names} }} = module{index};");
                }
                Statement::Export { declaration, .. } => translated.body.extend([declaration, "\n"]),
                Statement::Nothing => {}
                Statement::Other(line) => translated.body.extend([line, "\n"]),
            }
        }
        translated
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

/// The path to which a relative reference in a file leads.
fn resolve(file: &str, reference: &str) -> String {
    let mut path: Vec<_> = file.split('/').collect();
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn modules_use_only_the_forms_that_are_read() {
        for path in asset::paths("js") {
            for line in asset::text(&path).lines() {
                let read = match Statement::of(line) {
                    Statement::Import { from, .. } | Statement::Reexport { from, .. } => {
                        !asset::text(&resolve(&path, from)).is_empty()
                    }
                    Statement::Export { declaration, .. } => ["async function", "class", "const", "function"]
                        .iter()
                        .any(|word| declaration.starts_with(word)),
                    Statement::Nothing => true,
                    Statement::Other(line) => !line.starts_with("import ") && !line.contains("import("),
                };
                // A comment may import a type.
                assert!(
                    read || line.trim_start().starts_with(['*', '/']) || line.contains("/**"),
                    "{path}: {line}"
                );
            }
        }
    }

    #[test]
    fn modules_do_not_import_each_other_in_a_circle() {
        fn visit(path: &str, way: &mut Vec<String>, visited: &mut HashSet<String>) {
            assert!(!way.iter().any(|module| module == path), "{path} is imported by way of {way:?}");
            if !visited.insert(path.to_owned()) {
                return;
            }
            way.push(path.to_owned());
            for line in asset::text(path).lines() {
                if let Statement::Import { from, .. } | Statement::Reexport { from, .. } = Statement::of(line)
                {
                    visit(&resolve(path, from), way, visited);
                }
            }
            way.pop();
        }
        let mut visited = HashSet::new();
        for path in asset::paths("js") {
            visit(&path, &mut Vec::new(), &mut visited);
        }
    }

    #[test]
    fn a_module_keeps_its_own_address() {
        let page = script("page/room.js", "page/room.js");
        assert!(page.contains("new URL('../page/base/i18n.js', import.meta.url).href"));
        let sdk = script("sdk/index.js", "sdk/v1/visavis.js");
        assert!(sdk.contains("new URL('../../sdk/server-address.js', import.meta.url).href"));
    }

    #[test]
    fn a_style_sheet_has_all_that_it_imports_in_order() {
        let style = style("page/room.css");
        assert!(!style.contains("@import") && !style.contains("url("), "{style}");
        let place = |rule| style.find(rule).unwrap_or_else(|| panic!("no {rule}"));
        assert!(place(":root {") < place(".stage {"));
    }
}
