//! Numbers with a minimum and a maximum.

use super::value::{Value, word};

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<const LEAST: u32, const MOST: u32>(u32);

impl<const LEAST: u32, const MOST: u32> Number<LEAST, MOST> {
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl<const LEAST: u32, const MOST: u32> Value for Number<LEAST, MOST> {
    fn read(value: &toml::Value) -> Result<Self, String> {
        let number = word(value)?.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
        number.map(Self).ok_or_else(|| format!("expected a whole number from {LEAST} to {MOST}"))
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::Integer(self.0.into()))
    }
}
