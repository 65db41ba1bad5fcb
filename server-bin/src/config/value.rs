//! Parsing and display of a setting's value.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// How often a flag may come, and whether it takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One value.
    One,
    /// Any number of values: a repeatable flag, words separated by spaces in the environment, an array in the file.
    Many,
    /// A flag that needs no value to mean true.
    Switch,
}

/// The type of a setting. Flags, environment and defaults give strings, the file any TOML value.
pub(crate) trait Value: Sized {
    const SHAPE: Shape = Shape::One;
    /// Whether it may hold what nobody else should see.
    const SECRET: bool = false;
    /// Reads it; an error says what is wrong with the value, without naming the setting.
    fn read(value: &toml::Value) -> Result<Self, String>;
    /// As the file would have it, secrets hidden; `None` when it is not set.
    fn shown(&self) -> Option<toml::Value>;
}

/// The text of a value that is written as one word, in the file perhaps as a number or boolean.
pub(crate) fn word(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.trim().to_owned()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(boolean) => Ok(boolean.to_string()),
        other => Err(format!("expected a string, not {}", other.type_str())),
    }
}

/// Implements [`Value`] for types that are read by `FromStr` and shown by `Display`.
macro_rules! word_value {
    ($($type:ty),+) => {$(
        impl $crate::config::Value for $type {
            fn read(value: &toml::Value) -> Result<Self, String> {
                $crate::config::value::word(value)?.parse().map_err(|error: <$type as std::str::FromStr>::Err| error.to_string())
            }

            fn shown(&self) -> Option<toml::Value> {
                Some(toml::Value::String(self.to_string()))
            }
        }
    )+};
}
pub(super) use word_value;

/// A network, or an address that is meant alone.
impl Value for IpNet {
    fn read(value: &toml::Value) -> Result<Self, String> {
        let text = word(value)?;
        let alone = || text.parse().map(|ip: IpAddr| Self::from(ip.to_canonical()));
        let network = text.parse().or_else(|_| alone());
        network.map_err(|_| "expected a network, as in 192.168.1.0/24, or an address".to_owned())
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::String(self.to_string()))
    }
}

impl Value for u16 {
    fn read(value: &toml::Value) -> Result<Self, String> {
        word(value)?.parse().map_err(|_| format!("expected a number from 0 to {}", u16::MAX))
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::Integer((*self).into()))
    }
}

impl Value for bool {
    const SHAPE: Shape = Shape::Switch;

    fn read(value: &toml::Value) -> Result<Self, String> {
        match word(value)?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::Boolean(*self))
    }
}

impl Value for String {
    fn read(value: &toml::Value) -> Result<Self, String> {
        word(value)
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::String(self.clone()))
    }
}

impl Value for PathBuf {
    fn read(value: &toml::Value) -> Result<Self, String> {
        match word(value)? {
            empty if empty.is_empty() => Err("expected a path".to_owned()),
            path => Ok(path.into()),
        }
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::String(self.display().to_string()))
    }
}

impl<T: Value> Value for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const SECRET: bool = T::SECRET;

    fn read(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(text) if text.trim().is_empty() => Ok(None),
            value => T::read(value).map(Some),
        }
    }

    fn shown(&self) -> Option<toml::Value> {
        self.as_ref().and_then(T::shown)
    }
}

impl<T: Value> Value for Vec<T> {
    const SHAPE: Shape = Shape::Many;
    const SECRET: bool = T::SECRET;

    fn read(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Array(values) => values.iter().map(T::read).collect(),
            toml::Value::String(text) if text.trim().is_empty() => Ok(Self::new()),
            one => Ok(vec![T::read(one)?]),
        }
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::Array(self.iter().filter_map(T::shown).collect()))
    }
}
