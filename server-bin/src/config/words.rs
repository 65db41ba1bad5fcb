//! Settings with a fixed set of values.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use super::value::{Value, word, word_value};

macro_rules! words {
    ($( $(#[$meta:meta])* $type:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),+ $(,)? } )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $type { $( $(#[$variant_meta])* $variant ),+ }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(format!("expected one of: {}", [$($word),+].join(", "))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $( Self::$variant => $word ),+ })
            }
        }
    )+};
}

words! {
    /// Where certificates come from.
    TlsMode {
        /// Made here.
        Auto = "auto",
        /// Nowhere: plain http alone.
        Off = "off",
        /// From the operator.
        Files = "files",
        /// From an ACME directory.
        Acme = "acme",
    }

    /// How log lines are written.
    LogFormat { Text = "text", Json = "json" }

    /// Where the relayed addresses of the built-in relay exist.
    RelayKind {
        /// Each is a UDP port of this machine.
        Ports = "ports",
        /// In this process alone.
        Inside = "inside",
    }

    /// Whether something is allowed.
    OnOff { On = "on", Off = "off" }

    /// The publishers that the server records without a host's request.
    RecordMode { All = "all", Broadcasters = "broadcasters", Off = "off" }

    /// A way for clients to connect.
    Transport { WebSocket = "websocket", Sse = "sse", SocketIo = "socketio" }
}

word_value!(TlsMode, LogFormat, OnOff, RecordMode, RelayKind, LogFilter);

/// The ways for clients to connect: at least one, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transports(Vec<Transport>);

impl Transports {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Transport> {
        self.0.iter().copied()
    }
}

/// In the file a string, or an array of words.
impl Value for Transports {
    fn read(value: &toml::Value) -> Result<Self, String> {
        let words = match value {
            toml::Value::Array(words) => words.iter().map(word).collect::<Result<Vec<_>, _>>()?.join(","),
            one => word(one)?,
        };
        words.parse()
    }

    fn shown(&self) -> Option<toml::Value> {
        Some(toml::Value::String(self.to_string()))
    }
}

impl FromStr for Transports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut transports = Vec::new();
        for word in text.split(',') {
            let transport: Transport = word.trim().parse()?;
            if !transports.contains(&transport) {
                transports.push(transport);
            }
        }
        Ok(Self(transports))
    }
}

impl fmt::Display for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Transport::to_string).collect::<Vec<_>>().join(","))
    }
}

/// Which log lines are wanted, in the syntax of `tracing_subscriber`'s `EnvFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter(String);

impl LogFilter {
    pub(crate) fn debug() -> Self {
        Self("debug".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // An unknown level would be taken for the name of a crate, and disable all other logs.
        let first = text.split(',').next().unwrap_or_default();
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        if !levels.contains(&first) {
            return Err(format!("expected first one of: {}", levels.join(", ")));
        }
        EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
