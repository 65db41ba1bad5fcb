//! Options of the connection to an object store: names and values.

use std::fmt;

use super::value::{Value, word};

/// One of them. Its value is shown to nobody: it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreOption {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl fmt::Debug for StoreOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=(hidden)", self.name)
    }
}

impl Value for StoreOption {
    const SECRET: bool = true;

    fn read(value: &toml::Value) -> Result<Self, String> {
        let text = word(value)?;
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, as in region=eu-central-1")?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return Err("expected a name and a value, as in region=eu-central-1".to_owned());
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::String(format!("{self:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_value_of_which_the_name_alone_is_shown() {
        let read = |text: &str| StoreOption::read(&toml::Value::String(text.to_owned()));
        let option = read("secret_access_key = a=b").unwrap();
        assert_eq!((option.name.as_str(), option.value.as_str()), ("secret_access_key", "a=b"));
        assert_eq!(option.shown().unwrap().as_str(), Some("secret_access_key=(hidden)"));
        for bad in ["", "region", "=x", "region="] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
