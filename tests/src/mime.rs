//! A parser for letters: as much of MIME (RFC 2045, 2046) as invitations need.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A part of a letter, or the whole of it.
#[derive(Clone, Debug)]
pub struct Part {
    headers: Vec<(String, String)>,
    /// Its parts, if any.
    pub parts: Vec<Part>,
    /// Its decoded text, if it has no parts.
    pub text: String,
}

impl Part {
    /// Parses a letter.
    pub fn read(raw: &str) -> Self {
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers = unfolded.split("\r\n").map(header).collect();
        let mut part = Self { headers, parts: Vec::new(), text: String::new() };
        let boundary = part.header("content-type").split("boundary=\"").nth(1).map(str::to_owned);
        match boundary {
            Some(rest) => {
                let delimiter = format!("--{}", rest.split('"').next().unwrap());
                let pieces: Vec<&str> = body.split(&delimiter).collect();
                assert!(pieces.last().unwrap().starts_with("--"), "the last part ends: {body}");
                let inner = &pieces[1..pieces.len() - 1];
                part.parts =
                    inner.iter().map(|piece| Self::read(piece.strip_prefix("\r\n").unwrap())).collect();
            }
            None => part.text = decoded(part.header("content-transfer-encoding"), body),
        }
        part
    }

    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
    }
}

fn decoded(encoding: &str, body: &str) -> String {
    match encoding {
        "7bit" | "" => body.to_owned(),
        "base64" => String::from_utf8(STANDARD.decode(body.replace("\r\n", "")).unwrap()).unwrap(),
        "quoted-printable" => {
            let joined = body.replace("=\r\n", "");
            let mut pieces = joined.split('=');
            let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
            for piece in pieces {
                bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
                bytes.extend(&piece.as_bytes()[2..]);
            }
            String::from_utf8(bytes).unwrap()
        }
        other => panic!("{other}"),
    }
}
