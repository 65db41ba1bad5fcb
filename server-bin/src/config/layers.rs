//! Values as found in each layer: defaults, file, environment, flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;

use super::{ConfigError, Listen, Origin, Setting, Settings, Shape, Value};

/// The environment: names and values.
pub(crate) type Environment = Vec<(OsString, OsString)>;

/// For each setting the value that counts, and where it came from.
#[derive(Clone)]
pub(crate) struct Layers {
    values: BTreeMap<&'static str, (toml::Value, Origin)>,
}

/// Without the values, some of which are secret.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(field, (_, origin))| (field, origin))).finish()
    }
}

/// Names that begin like ours and are not: what Kubernetes sets for a service called `visavis`, where the file is,
/// and which program the tests run.
fn is_foreign(name: &str) -> bool {
    matches!(name, "VISAVIS_CONFIG" | "VISAVIS_BIN" | "VISAVIS_PORT")
        || name.starts_with("VISAVIS_SERVICE_")
        || name.starts_with("VISAVIS_PORT_")
}

/// What a variable's name ends in if it names a file with the value.
const FILE: &str = "_FILE";

/// The content of a file with a value.
fn content(path: &Path) -> Result<String, ConfigError> {
    let content = fs::read_to_string(path);
    content.map_err(|source| ConfigError::ValueFile { path: path.to_owned(), source })
}

/// The value that a text gives to a setting.
fn words(setting: &Setting, text: &str) -> toml::Value {
    match setting.shape {
        Shape::Many => text.split_whitespace().map(toml::Value::from).collect::<Vec<_>>().into(),
        Shape::One | Shape::Switch => toml::Value::from(text.trim()),
    }
}

impl Layers {
    pub(crate) fn defaults() -> Self {
        let value = |setting: &Setting| (toml::Value::String(setting.default.to_owned()), Origin::Default);
        Self { values: Settings::TABLE.iter().map(|setting| (setting.field, value(setting))).collect() }
    }

    /// Lays the values of a TOML file over these.
    pub(crate) fn file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table =
            text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        for (key, value) in table {
            let Some(setting) = Settings::TABLE.iter().find(|setting| setting.key() == key) else {
                let hint = hint(&key, Settings::TABLE.iter().map(Setting::key));
                return Err(ConfigError::UnknownKey { key, path: path.to_owned(), hint });
            };
            self.values.insert(setting.field, (value, Origin::File(path.to_owned())));
        }
        Ok(())
    }

    /// Lays systemd's credentials over these: files in the folder that the environment names, called like the setting.
    fn credentials(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        let folder = environment.iter().find(|(name, _)| name == "CREDENTIALS_DIRECTORY");
        let Some((_, folder)) = folder else { return Ok(()) };
        for setting in Settings::TABLE {
            let path = Path::new(folder).join(setting.key());
            if path.is_file() {
                let value = words(setting, &content(&path)?);
                self.values.insert(setting.field, (value, Origin::File(path)));
            }
        }
        Ok(())
    }

    /// Lays the environment over these, and below it systemd's credentials. An empty variable is one that is not set. A
    /// variable whose name ends in `_FILE` names a file with the value.
    pub(crate) fn environment(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        self.credentials(environment)?;
        let mut ours = BTreeMap::new();
        let known: Vec<&str> =
            Settings::TABLE.iter().filter_map(|setting| setting.alias).chain(["HTTP_PORT"]).collect();
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            let is_ours = name.starts_with("VISAVIS_") && !is_foreign(name);
            if !is_ours && !known.contains(&name) {
                continue;
            }
            let text =
                value.to_str().ok_or_else(|| ConfigError::NotUnicode { name: name.to_owned() })?.trim();
            let is_known = |name: &str| Settings::TABLE.iter().any(|setting| setting.variable() == name);
            if is_ours && !is_known(name.strip_suffix(FILE).unwrap_or(name)) {
                let hint = hint(name, Settings::TABLE.iter().map(Setting::variable));
                return Err(ConfigError::UnknownVariable { name: name.to_owned(), hint });
            }
            if !text.is_empty() {
                ours.insert(name, text);
            }
        }
        if let Some(port) = ours.get("HTTP_PORT") {
            self.port_of_listen(port)?;
        }
        for setting in Settings::TABLE {
            let alias = setting.alias.map(str::to_owned);
            for name in alias.into_iter().chain([setting.variable()]) {
                let Some(text) = ours.get(name.as_str()) else { continue };
                self.values.insert(setting.field, (words(setting, text), Origin::Environment(name)));
            }
            let name = setting.variable() + FILE;
            let Some(path) = ours.get(name.as_str()) else { continue };
            if ours.contains_key(setting.variable().as_str()) {
                return Err(ConfigError::Twice { name: setting.variable() });
            }
            let value = words(setting, &content(Path::new(path))?);
            self.values.insert(setting.field, (value, Origin::Environment(name)));
        }
        Ok(())
    }

    /// Lays flags over these: the values given for a setting, in order.
    pub(crate) fn flags(&mut self, given: impl Fn(&Setting) -> Option<Vec<String>>) {
        for setting in Settings::TABLE {
            let Some(texts) = given(setting) else { continue };
            let value = match (setting.shape, texts.as_slice()) {
                (Shape::One | Shape::Switch, [.., last]) => toml::Value::from(last.as_str()),
                _ => texts.into_iter().map(toml::Value::from).collect::<Vec<_>>().into(),
            };
            self.values.insert(setting.field, (value, Origin::Flag(setting.key())));
        }
    }

    /// Where the value of a setting came from.
    pub(crate) fn origin(&self, field: &str) -> &Origin {
        self.values.get(field).map_or(&Origin::Default, |(_, origin)| origin)
    }

    pub(super) fn parse<T: Value>(&self, field: &'static str) -> Result<T, ConfigError> {
        let unset = (toml::Value::String(String::new()), Origin::Default);
        let (value, origin) = self.values.get(field).unwrap_or(&unset);
        let is_forgotten = T::SECRET
            && *origin != Origin::Default
            && value.as_str().is_some_and(|text| text.trim().is_empty());
        let read =
            if is_forgotten { Err("expected a secret, not nothing".to_owned()) } else { T::read(value) };
        read.map_err(|reason| ConfigError::Value {
            key: field.replace('_', "-"),
            value: if T::SECRET { "what was given".to_owned() } else { value.to_string() },
            origin: origin.clone(),
            reason,
        })
    }

    /// `HTTP_PORT` names a port alone: the host stays that of the layers below.
    fn port_of_listen(&mut self, port: &str) -> Result<(), ConfigError> {
        let origin = Origin::Environment("HTTP_PORT".to_owned());
        let number = port.parse().map_err(|_| ConfigError::Value {
            key: "HTTP_PORT".to_owned(),
            value: port.to_owned(),
            origin: origin.clone(),
            reason: "expected a port, a number from 0 to 65535".to_owned(),
        })?;
        let listen = self.parse::<Listen>("listen")?.with_port(number);
        self.values.insert("listen", (listen.to_string().into(), origin));
        Ok(())
    }
}

/// The known name that is nearest to an unknown one, when one is near.
fn hint(unknown: &str, known: impl Iterator<Item = String>) -> String {
    let near = known.map(|name| (strsim::levenshtein(unknown, &name), name)).min();
    let near = near.filter(|(distance, _)| *distance <= 3);
    near.map(|(_, name)| format!("; did you mean {name}?")).unwrap_or_default()
}
