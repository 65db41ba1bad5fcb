//! Keys that join tokens are verified with.

use signaling_transport::TokenKey;

use super::secret::value_or_file;
use super::value::{Value, word};

/// A key, given as it is or by the name of a file that holds it.
#[derive(Clone, Debug)]
pub(crate) struct AuthKey(pub(crate) TokenKey);

impl AuthKey {
    fn from_word(text: &str) -> Result<Self, String> {
        let key = TokenKey::parse(&value_or_file(text)?).map_err(|error| error.to_string())?;
        if key.is_short() {
            return Err("a secret has 32 bytes at least (`openssl rand -hex 32` makes one)".to_owned());
        }
        Ok(Self(key))
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
    use std::fs;

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
        assert_eq!(algorithm("a secret that is as long as the hash"), Ok("HS256"));
        assert!(algorithm("a secret").unwrap_err().contains("32 bytes"));
        assert!(algorithm(r#"{"kty":"oct","k":"c2hvcnQ"}"#).unwrap_err().contains("32 bytes"));
        assert!(algorithm("public.pem").unwrap_err().contains("no such file"));
        assert!(algorithm("/no/such/file").unwrap_err().contains("no such file"));
        assert!(algorithm("").is_err());
    }
}
