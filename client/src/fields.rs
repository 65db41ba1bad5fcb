//! Fields of events.

use serde_json::Value;

/// The text of a field; empty without one.
pub(crate) fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The number of a field.
pub(crate) fn number(event: &Value, name: &str) -> Option<u64> {
    event.get(name).and_then(Value::as_u64)
}

/// A time in milliseconds.
pub(crate) fn millis(event: &Value, name: &str) -> Option<std::time::Duration> {
    number(event, name).map(std::time::Duration::from_millis)
}
