//! Errors in the settings.

use std::path::PathBuf;

use super::Origin;

/// What is wrong with the settings: all of it the operator's to put right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration file {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration file {path} is not TOML")]
    Syntax {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
    #[error("cannot read the file {path} with the value of a setting")]
    ValueFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{name} and {name}_FILE are both set: remove one")]
    Twice { name: String },
    #[error("unknown key `{key}` in {path}{hint}")]
    UnknownKey { key: String, path: PathBuf, hint: String },
    #[error("unknown environment variable {name}{hint}")]
    UnknownVariable { name: String, hint: String },
    #[error("the environment variable {name} is not UTF-8")]
    NotUnicode { name: String },
    #[error("{key} cannot be {value} ({origin}): {reason}")]
    Value { key: String, value: String, origin: Origin, reason: String },
    #[error("{0}")]
    Clash(&'static str),
}
