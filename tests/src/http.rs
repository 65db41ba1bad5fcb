//! A minimal HTTP client for scenarios; each request uses a separate connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The response to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Status line and header lines.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.head, self.body))
    }

    /// The values of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The value of a header that occurs once, or an empty string if it is missing.
    pub fn header(&self, name: &str) -> &str {
        match self.headers(name)[..] {
            [] => "",
            [value] => value,
            ref values => panic!("{name} is there {} times", values.len()),
        }
    }
}

/// `GET path`, over plain HTTP.
pub fn get(addr: SocketAddr, path: &str) -> Answer {
    ask(
        TcpStream::connect(addr).unwrap(),
        &format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n"),
    )
}

/// Sends a request unchanged, and reads until the other side closes.
pub fn ask(stream: impl Read + Write, request: &str) -> Answer {
    ask_bytes(stream, request.as_bytes())
}

fn ask_bytes(mut stream: impl Read + Write, request: &[u8]) -> Answer {
    if let Err(error) = stream.write_all(request) {
        // Refused before all of it was read: the response is there.
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        // A server that refuses a request without reading all of it resets the connection after the response.
        assert!(error.kind() == ErrorKind::ConnectionReset && !bytes.is_empty(), "{error}");
    }
    let answer = String::from_utf8(bytes).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Sends any request, with a body if given.
pub fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Answer {
    ask_bytes(TcpStream::connect(addr).unwrap(), &bytes_of(addr, method, path, headers, body))
}

/// As [`request`], of a server that may end meanwhile: `None` unless all of its response has arrived.
pub fn try_request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.write_all(&bytes_of(addr, method, path, headers, body)).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let answer = String::from_utf8(bytes).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    // A response without a body, as 204, names no length.
    let length = answer.headers("content-length").first().map_or(Some(0), |length| length.parse().ok())?;
    (length == answer.body.len()).then_some(answer)
}

fn bytes_of(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let length = body.map(|body| format!("content-length: {}\r\n", body.len())).unwrap_or_default();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{headers}{length}\r\n");
    [head.as_bytes(), body.unwrap_or_default()].concat()
}
