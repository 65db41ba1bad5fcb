//! The program of one's own lets those in who know the word, and nobody else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails in a test fails the test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tungstenite::Message;

/// Ends the program with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_word_opens_the_door() {
    let program = env!("CARGO_BIN_EXE_embed-signaling");
    let mut running = Running(Command::new(program).stderr(Stdio::piped()).spawn().unwrap());
    let mut url = String::new();
    BufReader::new(running.0.stderr.take().unwrap()).read_line(&mut url).unwrap();
    let address = url.trim().strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let answer = |token: &str| {
        let stream = std::net::TcpStream::connect(address).unwrap();
        let (mut socket, _) = tungstenite::client(url.trim(), stream).unwrap();
        let join = format!(r#"{{"type":"join","room":"standup","name":"Ada","token":"{token}"}}"#);
        socket.send(Message::text(join)).unwrap();
        socket.read().unwrap().into_text().unwrap().to_string()
    };
    assert!(answer("open sesame").starts_with(r#"{"type":"welcome""#));
    assert!(answer("please").starts_with(r#"{"type":"error","code":"unauthorized""#));
}
