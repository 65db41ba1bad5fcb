//! The media server with signaling other than this project's: the example `sfu-alone`, over real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![allow(clippy::disallowed_methods, reason = "sockets live in real time")]
#![allow(unreachable_pub, reason = "modules that several tests use")]

#[path = "common/endpoint.rs"]
mod endpoint;
#[path = "../examples/sfu-alone.rs"]
#[allow(dead_code, reason = "its main is not called")]
mod lines;

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use endpoint::Endpoint;
use sfu::driver::MediaSocket;
use sfu::dtls::Identity;
use sfu::testing::ClientKind;

/// A message of the server: its first line, and the description.
type Message = (String, String);

struct Member {
    stream: TcpStream,
    messages: Receiver<Message>,
}

fn next_message(lines: &mut Lines<BufReader<TcpStream>>) -> Option<Message> {
    let first = lines.next()?.ok()?;
    let description = lines.map_while(Result::ok).take_while(|line| line != ".");
    Some((first, description.map(|line| line + "\r\n").collect()))
}

impl Member {
    fn join(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(b"JOIN lines\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let (sender, messages) = sync_channel(16);
        std::thread::spawn(move || {
            while let Some(message) = next_message(&mut lines) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self { stream, messages }
    }

    fn say(&mut self, first: &str, sdp: &str) {
        self.stream.write_all(format!("{first}\r\n{sdp}.\r\n").as_bytes()).unwrap();
    }
}

#[test]
fn two_members_of_a_room_with_text_signaling_see_each_other() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let socket = MediaSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let serving = std::thread::spawn(move || lines::serve(&listener, socket));

    let identity = Identity::generate().unwrap();
    let (mut sender, mut viewer) = (Member::join(server), Member::join(server));
    let mut camera = Endpoint::new(ClientKind::Publisher, &identity, 1);
    sender.say("OFFER", &camera.client.offer());
    let (first, answer) = sender.messages.recv().unwrap();
    assert_eq!(first, "ANSWER");
    camera.client.accept_answer(Instant::now(), &answer).unwrap();

    let mut screen = Endpoint::new(ClientKind::Player, &identity, 2);
    // Pictures are sent as fast as both endpoints take turns; if the server did not forward
    // them, the loop would not end.
    while screen.played() < 30 {
        while let Ok((first, offer)) = viewer.messages.try_recv() {
            let number = first.strip_prefix("OFFER ").unwrap();
            let answer = screen.client.answer(Instant::now(), &offer).unwrap();
            viewer.say(&format!("ANSWER {number}"), &answer);
        }
        camera.turn();
        screen.turn();
        if camera.client.is_connected() && screen.client.is_connected() {
            camera.client.send_picture(Instant::now(), 3);
        }
        assert!(!serving.is_finished(), "the server has ended");
        std::thread::yield_now();
    }
    drop(sender.stream);
}
