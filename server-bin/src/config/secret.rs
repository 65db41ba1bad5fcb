//! Secrets given directly, or by the name of a file that contains them.

use std::fs;
use std::path::Path;

use super::turn::SecretText;
use super::value::{Value, word};

/// No file with a key or a secret is larger.
const LARGEST_FILE: u64 = 64 * 1024;
/// What files with keys and secrets end in.
const EXTENSIONS: [&str; 9] = ["pem", "key", "pub", "der", "crt", "jwk", "json", "txt", "secret"];
/// Nobody guesses so many bytes that were drawn at random.
const SHORTEST: usize = 16;

/// The content of the file of that name, or the text itself. A text that looks like a path must name an existing file,
/// since the name of a missing one would be a guessable secret.
pub(super) fn value_or_file(text: &str) -> Result<String, String> {
    let path = Path::new(text);
    if text.contains('\n') || !path.is_file() {
        return if is_path(text) { Err("there is no such file".to_owned()) } else { Ok(text.to_owned()) };
    }
    if fs::metadata(path).is_ok_and(|file| file.len() > LARGEST_FILE) {
        return Err("the file is too large for a key".to_owned());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read the file: {error}"))?;
    Ok(text.trim().to_owned())
}

fn is_path(text: &str) -> bool {
    if text.contains(char::is_whitespace) || text.starts_with('{') {
        return false;
    }
    let path = Path::new(text);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_of_kind =
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()));
    let is_in_folder = path.parent().is_some_and(|parent| !parent.as_os_str().is_empty() && parent.is_dir());
    let begins = |start: &&str| text.starts_with(*start);
    path.is_absolute() || is_of_kind || is_in_folder || ["./", "../", "~", "file:"].iter().any(begins)
}

/// A secret that two programs share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedSecret(pub(crate) SecretText);

impl Value for SharedSecret {
    const SECRET: bool = true;

    fn read(value: &toml::Value) -> Result<Self, String> {
        let secret = value_or_file(&word(value)?)?;
        if secret.len() < SHORTEST {
            return Err(format!("a secret has {SHORTEST} bytes at least (`openssl rand -hex 32` makes one)"));
        }
        Ok(Self(SecretText(secret)))
    }

    fn shown(&self) -> Option<toml::Value> {
        self.0.shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_file_must_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turn");
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let read = |text: &str| value_or_file(text);
        assert_eq!(read(path.to_str().unwrap()).unwrap(), "0123456789abcdef0123456789abcdef");
        let beside = folder.path().join("missing");
        for name in [
            "public.pem",
            "KEY.PEM",
            "secrets/turn.key",
            "/run/secrets/turn",
            "./turn",
            "../turn",
            "~/turn",
            "file:///run/secrets/turn",
            beside.to_str().unwrap(),
            "src/no-such-secret-of-more-than-thirty-two-letters",
        ] {
            assert!(read(name).is_err(), "{name}");
        }
        for secret in
            ["q3/xYz+90==", "correct horse battery staple", r#"{"kty":"oct","k":"a/b.key"}"#, "a.b.c"]
        {
            assert_eq!(read(secret).unwrap(), secret);
        }
    }

    #[test]
    fn a_secret_that_anybody_guesses_is_none() {
        let read = |text: &str| SharedSecret::read(&toml::Value::String(text.to_owned()));
        for bad in ["", "a", "fifteen letters"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("sixteen letters.").unwrap().0.0, "sixteen letters.");
    }
}
