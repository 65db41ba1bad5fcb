//! STUN and TURN servers for clients, besides the built-in one.

use std::fmt;

use super::value::{Value, word};

/// A server that clients are told of. Its `Debug` form hides the credential.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IceServer {
    /// A `stun:`, `stuns:`, `turn:` or `turns:` URL (RFC 7064, RFC 7065).
    pub(crate) url: String,
    /// For TURN.
    pub(crate) login: Option<Login>,
}

/// What a TURN server asks for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) credential: String,
}

const SHAPE: &str = "expected stun:HOST[:PORT], or turn:HOST[:PORT][?transport=tcp],USERNAME,CREDENTIAL";

impl IceServer {
    /// Reads `URL` or `URL,USERNAME,CREDENTIAL`. Commas in the credential are part of it.
    fn from_word(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',');
        let url = parts.next().unwrap_or_default();
        match (parts.next(), parts.next()) {
            (None, None) => Self::new(url, None),
            (Some(username), Some(credential)) => Self::new(url, Some((username, credential))),
            _ => Err(SHAPE.to_owned()),
        }
    }

    /// Reads `{ url, username, credential }`, in the file.
    fn from_table(table: &toml::Table) -> Result<Self, String> {
        if let Some(unknown) =
            table.keys().find(|key| !["url", "username", "credential"].contains(&key.as_str()))
        {
            return Err(format!("unknown key `{unknown}`; an ICE server has url, username and credential"));
        }
        let field = |key| table.get(key).map(word).transpose();
        let url = field("url")?.ok_or("the url is missing")?;
        match (field("username")?, field("credential")?) {
            (None, None) => Self::new(&url, None),
            (Some(username), Some(credential)) => Self::new(&url, Some((&username, &credential))),
            _ => Err("username and credential go together".to_owned()),
        }
    }

    fn new(url: &str, login: Option<(&str, &str)>) -> Result<Self, String> {
        let (scheme, rest) = url.split_once(':').ok_or(SHAPE)?;
        let relays = match scheme {
            "stun" | "stuns" => false,
            "turn" | "turns" => true,
            _ => return Err(SHAPE.to_owned()),
        };
        let (host, query) = rest.split_once('?').map_or((rest, None), |(host, query)| (host, Some(query)));
        let known_query = match query {
            None => true,
            Some("transport=udp" | "transport=tcp") => relays,
            Some(_) => false,
        };
        if !known_query || host.contains('@') || host.parse::<http::uri::Authority>().is_err() {
            return Err(SHAPE.to_owned());
        }
        // Browsers throw an exception on a TURN server without both.
        match (relays, login) {
            (true, Some(("", _) | (_, "")) | None) => {
                return Err("a turn: server needs a username and a credential".to_owned());
            }
            (false, Some(_)) => return Err("a stun: server takes no username".to_owned()),
            _ => {}
        }
        let login = login.map(|(username, credential)| Login {
            username: username.to_owned(),
            credential: credential.to_owned(),
        });
        Ok(Self { url: url.to_owned(), login })
    }
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let username = self.login.as_ref().map(|login| &login.username);
        f.debug_struct("IceServer")
            .field("url", &self.url)
            .field("username", &username)
            .finish_non_exhaustive()
    }
}

impl Value for IceServer {
    const SECRET: bool = true;

    fn read(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Table(table) => Self::from_table(table),
            value => Self::from_word(&word(value)?),
        }
    }

    fn shown(&self) -> Option<toml::Value> {
        let Some(login) = &self.login else { return Some(toml::Value::String(self.url.clone())) };
        let mut table = toml::Table::new();
        table.insert("url".to_owned(), self.url.clone().into());
        table.insert("username".to_owned(), login.username.clone().into());
        table.insert("credential".to_owned(), "(hidden)".into());
        Some(toml::Value::Table(table))
    }
}
