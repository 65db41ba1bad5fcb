//! The merged settings in the form of a configuration file.

use std::fmt::Write as _;

use super::{Layers, Settings};

/// TOML with the origin of each value behind it.
pub(super) fn toml(values: Vec<(&'static str, Option<toml::Value>)>, layers: &Layers) -> String {
    let mut text = String::new();
    let mut lines = Vec::new();
    for ((field, value), setting) in values.into_iter().zip(Settings::TABLE) {
        let line = match value {
            Some(value) => format!("{} = {value}", setting.key()),
            None => format!("# {} = {}", setting.key(), setting.value_name),
        };
        lines.push((line, layers.origin(field)));
    }
    let width = lines
        .iter()
        .map(|(line, _)| line.chars().count())
        .filter(|width| *width < 60)
        .max()
        .unwrap_or_default();
    for (line, origin) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line:width$}  # {origin}");
    }
    text
}
