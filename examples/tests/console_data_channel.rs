//! Two of them talk, with this test as the people who copy and paste.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

struct Terminal {
    program: Child,
    keyboard: Option<ChildStdin>,
    screen: BufReader<ChildStdout>,
}

impl Terminal {
    fn open(role: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_console-data-channel"));
        let mut program =
            command.args([role, "127.0.0.1:0"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let keyboard = program.stdin.take();
        let screen = BufReader::new(program.stdout.take().unwrap());
        Self { program, keyboard, screen }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.keyboard.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Reads on to a line that begins so.
    fn read_to(&mut self, start: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.screen.read_line(&mut line).unwrap() > 0,
                "the program ended before {start:?}: {seen}"
            );
            if line.starts_with(start) {
                return line.trim_end().to_owned();
            }
            seen.push_str(&line);
        }
    }

    fn end(mut self) {
        drop(self.keyboard.take());
        let status = self.program.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already, and then there is nobody to kill.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn two_terminals_talk_with_no_server() {
    let mut first = Terminal::open("offer");
    let mut second = Terminal::open("answer");
    let offer = first.read_to("{");
    second.type_line(&offer);
    let answer = second.read_to("{");
    first.type_line(&answer);
    first.read_to("Connected");
    second.read_to("Connected");

    first.type_line("good morning");
    assert_eq!(second.read_to("> "), "> good morning");
    second.type_line("grüß Gott 👋");
    assert_eq!(first.read_to("> "), "> grüß Gott 👋");

    first.end();
    second.read_to("The other side has left.");
    second.end();
}

#[test]
fn what_is_no_offer_is_told_so() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_console-data-channel"));
    command
        .args(["answer", "127.0.0.1:0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    writeln!(program.stdin.take().unwrap(), "hello").unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is no description"), "{output:?}");
}
