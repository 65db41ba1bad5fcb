//! A mail server on loopback that accepts letters like common servers (RFC 5321), after STARTTLS and a login, and
//! depending on its mode.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use signaling_transport::net::self_signed;

/// The user name.
pub const USER: &str = "calls";
/// The password.
pub const PASSWORD: &str = "s3same&open";

/// What it does with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Accepts them.
    Takes,
    /// Asks to retry later (451).
    Busy,
    /// Permanently refuses them for this recipient (550).
    Refuses(&'static str),
}

/// An accepted letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// `MAIL FROM`
    pub from: String,
    /// `RCPT TO`
    pub to: Vec<String>,
    /// The content after `DATA`.
    pub data: String,
}

/// A mail server with a certificate of its own.
#[derive(Debug)]
pub struct MailServer {
    addr: SocketAddr,
    pem: String,
    mood: Arc<Mutex<Mood>>,
    letters: Receiver<Letter>,
    turned_away: Receiver<String>,
}

struct Desk {
    tls: Arc<ServerConfig>,
    mood: Arc<Mutex<Mood>>,
    letters: SyncSender<Letter>,
    turned_away: SyncSender<String>,
}

impl MailServer {
    /// Starts a server in this mode.
    pub fn open(mood: Mood) -> Self {
        #[allow(clippy::disallowed_methods, reason = "certificates are checked against the real clock")]
        let pem = self_signed::make(&["localhost".to_owned()], SystemTime::now()).unwrap().pem;
        let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(mood));
        let (letters, taken) = sync_channel(1_000);
        let (turned_away, refused) = sync_channel(1_000);
        let desk = Arc::new(Desk { tls: Arc::new(tls), mood: Arc::clone(&mood), letters, turned_away });
        thread::spawn(move || {
            for connection in listener.incoming() {
                let desk = Arc::clone(&desk);
                // A client that disconnects midway is ignored.
                thread::spawn(move || drop(desk.serve(connection.unwrap())));
            }
        });
        Self { addr, pem, mood, letters: taken, turned_away: refused }
    }

    /// The value of `--smtp`, for STARTTLS with a login.
    pub fn url(&self) -> String {
        let password = PASSWORD.replace('&', "%26");
        format!("smtp://{USER}:{password}@localhost:{}?tls=required", self.addr.port())
    }

    /// Its certificate, for clients that must trust it.
    pub fn certificate(&self) -> &str {
        &self.pem
    }

    /// Changes its mode.
    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The next letter that it accepts.
    pub fn next(&self) -> Letter {
        self.letters.recv_timeout(Duration::from_mins(1)).unwrap()
    }

    /// The recipient of the next letter that it refuses.
    pub fn next_turned_away(&self) -> String {
        self.turned_away.recv_timeout(Duration::from_mins(1)).unwrap()
    }

    /// Accepted letters that have not been read yet.
    pub fn unread(&self) -> Vec<Letter> {
        self.letters.try_iter().collect()
    }
}

/// The next step of a conversation.
enum Next {
    Tls,
    Quit,
}

impl Desk {
    fn serve(&self, mut plain: TcpStream) -> std::io::Result<()> {
        plain.write_all(b"220 localhost ESMTP\r\n")?;
        let heard = BufReader::new(plain.try_clone()?);
        if let Next::Tls = self.talk(heard, &mut plain.try_clone()?, false)? {
            let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(std::io::Error::other)?;
            let stream = Mutex::new(StreamOwned::new(connection, plain));
            self.talk(BufReader::new(Half(&stream)), &mut Half(&stream), true)?;
        }
        Ok(())
    }

    fn talk(&self, mut heard: impl BufRead, said: &mut impl Write, is_tls: bool) -> std::io::Result<Next> {
        let mut is_known = false;
        let mut letter = Letter { from: String::new(), to: Vec::new(), data: String::new() };
        loop {
            let mut line = String::new();
            if heard.read_line(&mut line)? == 0 {
                return Ok(Next::Quit);
            }
            let line = line.trim_end();
            let verb = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
            let mood = *self.mood.lock().unwrap();
            let answer = match &*verb {
                "EHLO" if is_tls => "250-localhost\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n",
                "EHLO" => "250-localhost\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
                "STARTTLS" if !is_tls => {
                    said.write_all(b"220 go on\r\n")?;
                    return Ok(Next::Tls);
                }
                "AUTH" if is_tls => {
                    let given = STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap_or_default();
                    is_known = given == format!("\0{USER}\0{PASSWORD}").as_bytes();
                    if is_known { "235 welcome\r\n" } else { "535 who?\r\n" }
                }
                "MAIL" if !is_known => "530 log in first\r\n",
                "MAIL" => {
                    letter.from = path(line);
                    "250 fine\r\n"
                }
                "RCPT" => {
                    let recipient = path(line);
                    let refusal = match mood {
                        Mood::Busy => Some("451 come again\r\n"),
                        Mood::Refuses(unknown) if unknown == recipient => Some("550 nobody of that name\r\n"),
                        Mood::Takes | Mood::Refuses(_) => None,
                    };
                    if refusal.is_some() {
                        let _ = self.turned_away.send(recipient.clone());
                    }
                    letter.to.push(recipient);
                    refusal.unwrap_or("250 fine\r\n")
                }
                "DATA" => {
                    said.write_all(b"354 go on\r\n")?;
                    letter.data = data(&mut heard)?;
                    let _ = self.letters.send(letter.clone());
                    "250 taken\r\n"
                }
                "QUIT" => {
                    said.write_all(b"221 bye\r\n")?;
                    return Ok(Next::Quit);
                }
                "RSET" | "NOOP" => "250 fine\r\n",
                _ => "502 what?\r\n",
            };
            said.write_all(answer.as_bytes())?;
            said.flush()?;
        }
    }
}

/// The address between angle brackets.
fn path(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(path, _)| path.to_owned()).unwrap_or_default()
}

/// The content up to the line with the dot, with dot-stuffing removed (RFC 5321 section 4.5.2).
fn data(heard: &mut impl BufRead) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if heard.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(data);
        }
        data += line.strip_prefix('.').unwrap_or(&line);
    }
}

/// A TLS stream that is read and written alternately.
struct Half<'a>(&'a Mutex<StreamOwned<ServerConnection, TcpStream>>);

impl Read for Half<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(buffer)
    }
}

impl Write for Half<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}
