//! Keys that join tokens are verified with.

use std::fs;
use std::path::Path;

use signaling_transport::TokenKey;

use super::value::{Value, word};

/// No file with a key is larger.
const LARGEST_FILE: u64 = 64 * 1024;

/// A key, given as it is or by the name of a file that holds it.
#[derive(Clone, Debug)]
pub(crate) struct AuthKey(pub(crate) TokenKey);

impl AuthKey {
    fn from_word(text: &str) -> Result<Self, String> {
        // Whoever names a file means what is in it. Its name would be a poor secret.
        let path = Path::new(text);
        let is_file = !text.contains('\n') && path.is_file();
        if !is_file && (path.is_absolute() || text.starts_with("./") || text.starts_with("../")) {
            return Err("there is no such file".to_owned());
        }
        let key = if is_file {
            if fs::metadata(path).is_ok_and(|file| file.len() > LARGEST_FILE) {
                return Err("the file is too large for a key".to_owned());
            }
            let text = fs::read_to_string(path).map_err(|error| format!("cannot read the file: {error}"))?;
            TokenKey::parse(&text)
        } else {
            TokenKey::parse(text)
        };
        key.map(Self).map_err(|error| error.to_string())
    }
}

impl Value for AuthKey {
    const SECRET: bool = true;

    fn read(value: &toml::Value) -> Result<Self, String> {
        Self::from_word(&word(value)?)
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::String(format!("({}, hidden)", self.0.algorithm())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_given_or_lies_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let pem = "-----BEGIN PUBLIC KEY-----\n\
                   MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                   -----END PUBLIC KEY-----\n";
        fs::write(&path, pem).unwrap();
        let algorithm = |text: &str| AuthKey::from_word(text).map(|key| key.0.algorithm());
        assert_eq!(algorithm(path.to_str().unwrap()), Ok("EdDSA"));
        assert_eq!(algorithm(pem), Ok("EdDSA"));
        assert_eq!(algorithm("a secret"), Ok("HS256"));
        assert!(algorithm("/no/such/file").unwrap_err().contains("no such file"));
        assert!(algorithm("").is_err());
    }
}
