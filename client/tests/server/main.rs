//! Sessions and media in rooms of the real server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails in a test fails the test"
)]

mod proxy;

use std::fs;
use std::path::Path;
use std::time::Duration;

use client::{
    Codec, Error, Frame, Join, MediaFile, Player, Publisher, Saver, Server, Session, TokenWanted, Transport,
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tests::Visavis;
use tests::api::Api;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use proxy::Proxy;

const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::Events];

fn server(visavis: &Visavis) -> Server {
    Server::new(&format!("http://{}", visavis.addr)).unwrap()
}

async fn join(server: &Server, transport: Transport, name: &str) -> Session {
    Session::join(server, transport, &Join::new("standup", name)).await.unwrap()
}

fn text(event: &Value) -> &str {
    event["text"].as_str().unwrap()
}

#[tokio::test]
async fn messages_and_events_travel_over_both_transports() {
    let visavis = Visavis::start(&[]);
    let server = server(&visavis);
    for transport in BOTH {
        let mut ada = join(&server, transport, "Ada").await;
        let mut bob = join(&server, transport, "Bob").await;
        assert_eq!(ada.until("peer-joined").await.unwrap()["peer"]["id"], bob.welcome()["self"]["id"]);
        let seq = bob.send(json!({"type": "chat", "text": "Good morning"})).await.unwrap();
        assert_eq!(text(&ada.until("chat").await.unwrap()), "Good morning");
        assert_eq!(bob.until("ack").await.unwrap()["seq"], seq);
        // What is refused is told, and ends nothing.
        let seq = bob.send(json!({"type": "chat", "text": "?", "to": "nobody"})).await.unwrap();
        let refusal = bob.until("error").await.unwrap();
        assert_eq!((&refusal["code"], &refusal["seq"]), (&json!("peer-unknown"), &json!(seq)));
        let refused = match bob.send(json!({"type": "dance"})).await {
            Ok(_) => bob.until("error").await.unwrap()["code"].as_str().unwrap().to_owned(),
            Err(Error::Refused { code, .. }) => code,
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(refused, "unknown-message");
        bob.leave().await.unwrap();
        assert_eq!(ada.until("peer-left").await.unwrap()["reason"], "left");
        ada.leave().await.unwrap();
    }
}

#[tokio::test]
async fn a_session_resumes_over_either_transport_and_in_another_process() {
    let visavis = Visavis::start(&[]);
    let server = server(&visavis);
    for (first, second) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0]), (BOTH[0], BOTH[0])] {
        let mut ada = join(&server, first, "Ada").await;
        let mut bob = join(&server, first, "Bob").await;
        ada.until("peer-joined").await.unwrap();
        bob.send(json!({"type": "chat", "text": "one"})).await.unwrap();
        assert_eq!(text(&ada.until("chat").await.unwrap()), "one");
        let credentials = ada.credentials();
        drop(ada);
        for line in ["two", "three"] {
            bob.send(json!({"type": "chat", "text": line})).await.unwrap();
            bob.until("ack").await.unwrap();
        }
        let mut ada = Session::resume_from(&server, second, credentials).await.unwrap();
        assert_eq!(ada.welcome()["resumed"], true);
        assert_eq!(text(&ada.until("chat").await.unwrap()), "two");
        assert_eq!(text(&ada.until("chat").await.unwrap()), "three");
        // A message whose answer was not heard is sent again, and takes effect once.
        ada.send(json!({"type": "chat", "text": "four"})).await.unwrap();
        ada.resume(first).await.unwrap();
        ada.send(json!({"type": "chat", "text": "five"})).await.unwrap();
        while text(&bob.until("chat").await.unwrap()) != "four" {}
        assert_eq!(text(&bob.until("chat").await.unwrap()), "five");
        ada.leave().await.unwrap();
        bob.leave().await.unwrap();
    }
}

/// The number in the next line of chat.
async fn next_line(session: &mut Session) -> String {
    text(&session.until("chat").await.unwrap()).to_owned()
}

#[tokio::test]
async fn a_session_recovers_from_a_cut_and_from_a_restart_of_the_server() {
    for transport in BOTH {
        let mut visavis = Visavis::start(&[]);
        let proxy = Proxy::before(visavis.addr).await;
        let through = Server::new(&format!("http://{}", proxy.addr)).unwrap();
        let mut ada = join(&through, transport, "Ada").await;
        let mut bob = join(&server(&visavis), transport, "Bob").await;
        assert_eq!(ada.until("peer-joined").await.unwrap()["peer"]["id"], bob.peer());

        proxy.cut(visavis.addr, 3);
        assert!(matches!(ada.next().await, Err(Error::Connection(_))));
        bob.send(json!({"type": "chat", "text": "one"})).await.unwrap();
        bob.until("ack").await.unwrap();
        ada.recover().await.unwrap();
        assert_eq!(proxy.refused(), 0, "it has tried again after refusals");
        assert_eq!(next_line(&mut ada).await, "one");

        let peer = ada.peer().to_owned();
        visavis.kill();
        let visavis = Visavis::start_in(visavis.folder(), &[]);
        proxy.cut(visavis.addr, 0);
        // It is not known to be lost yet, or the connection ends in between: the line is sent by one of the two.
        let sent = ada.send(json!({"type": "chat", "text": "two"})).await;
        assert!(matches!(sent, Ok(_) | Err(Error::Connection(_))), "{sent:?}");
        ada.recover().await.unwrap();
        assert_eq!(ada.peer(), peer);
        assert!(ada.until("snapshot").await.unwrap()["gap"].as_bool().unwrap());
        while next_line(&mut ada).await != "two" {}
    }
}

#[tokio::test]
async fn a_session_that_another_connection_took_over_says_so() {
    let visavis = Visavis::start(&[]);
    let server = server(&visavis);
    for (first, second) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let mut ada = join(&server, first, "Ada").await;
        let again = Session::resume_from(&server, second, ada.credentials()).await.unwrap();
        loop {
            match ada.next().await {
                Ok(_) => {}
                Err(Error::Replaced) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        again.leave().await.unwrap();
        let gone = ada.recover().await;
        assert!(gone.as_ref().is_err_and(|error| !error.is_retryable()), "{gone:?}");
    }
}

/// A server that welcomes and is silent then.
#[allow(clippy::result_large_err, reason = "tungstenite's signature")]
async fn silent(listener: TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let accept = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert("sec-websocket-protocol", "visavis.v1".parse().unwrap());
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, accept).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let welcome = json!({"type": "welcome", "session": "s", "secret": "x", "lastId": 0, "heartbeatMs": 50});
    socket.send(Message::text(welcome.to_string())).await.unwrap();
    // Holds the connection open for as long as the test.
    while socket.next().await.is_some() {}
}

#[tokio::test]
async fn a_server_that_falls_silent_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(silent(listener));
    let mut session = join(&Server::new(&url).unwrap(), Transport::WebSocket, "Ada").await;
    assert!(matches!(session.next().await, Err(Error::Connection(_))));
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let visavis = Visavis::start(&["--auth-key", "a secret of at least thirty-two bytes"]);
    let server = server(&visavis);
    for transport in BOTH {
        match Session::join(&server, transport, &Join::new("standup", "Ada")).await.err() {
            Some(Error::Refused { code, .. }) => assert_eq!(code, "unauthorized"),
            other => panic!("{other:?}"),
        }
    }
    let key = Api::with_key(&visavis, &["rooms"], &[]);
    let wanted = TokenWanted { name: Some("Ada".to_owned()), host: true, ..TokenWanted::default() };
    let token = server.make_token(key.bearer(), "team call", &wanted).await.unwrap();
    let join = Join { token: Some(token.token), ..Join::new("team call", "somebody") };
    let mut session = Session::join(&server, Transport::WebSocket, &join).await.unwrap();
    assert_eq!(session.welcome()["self"]["name"], "Ada");
    session.send(json!({"type": "host", "action": "end"})).await.unwrap();
    session.until("room-ended").await.unwrap();
    loop {
        match session.next().await {
            Ok(_) => {}
            Err(Error::Over) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(matches!(server.make_token("vsk_nonsense", "a", &wanted).await, Err(Error::Refused { .. })));
    let nobody = Server::new("http://127.0.0.1:1").unwrap();
    let lost = Session::join(&nobody, Transport::Events, &Join::new("a", "A")).await;
    assert!(matches!(lost.err(), Some(Error::Connection(_))));
    for url in ["nonsense", "ftp://a/", "http://"] {
        assert!(matches!(Server::new(url).err(), Some(Error::Url(_))), "{url}");
    }
}

/// Pictures that decoders would refuse and packetizers take: VP8 with a number in each.
fn film(path: &Path, pictures: u8) {
    let mut file = b"DKIF\0\0\x20\0VP80\x40\x00\x40\0".to_vec();
    file.extend(30_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend([0; 8]);
    for picture in 0..pictures {
        let data = [if picture == 0 { 0x10 } else { 0x11 }, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0, picture];
        file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        file.extend(u64::from(picture).to_le_bytes());
        file.extend(data);
    }
    fs::write(path, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_from_a_file_is_watched_and_saved() {
    let visavis = Visavis::start(&[]);
    let server = server(&visavis);
    let folder = tempfile::tempdir().unwrap();
    let (from, into) = (folder.path().join("from.ivf"), folder.path().join("into.ivf"));
    film(&from, 200);
    let mut viewer = join(&server, Transport::WebSocket, "Ada").await;
    let mut player = Player::watch(&server, "standup", None, None).await.unwrap();
    let publisher =
        Publisher::publish(&server, "standup", "Film", None, &[Codec::Vp8, Codec::Opus]).await.unwrap();
    // The host is told of viewers, too.
    let joined = loop {
        let joined = viewer.until("peer-joined").await.unwrap();
        if joined["peer"]["name"] == "Film" {
            break joined;
        }
    };
    assert_eq!(joined["peer"]["role"], "broadcaster");
    let mut saver = Saver::create(&into, Codec::Vp8).unwrap();
    let mut sounds = 0;
    let publishing = async {
        let mut files = [MediaFile::open(&from).unwrap()];
        assert_eq!(files[0].codec(), Codec::Vp8);
        // The film is repeated, from its key picture on, until the player has enough.
        loop {
            let sound =
                Frame { data: [0xfc, 0xff, 0xfe].as_slice().into(), duration: Duration::from_millis(20) };
            publisher.send(Codec::Opus, sound).await.unwrap();
            publisher.play(&mut files).await.unwrap();
            files = [MediaFile::open(&from).unwrap()];
        }
    };
    let watching = async {
        while saver.frames() < 30 || sounds == 0 {
            let received = player.next().await.unwrap();
            sounds += usize::from(received.codec == Codec::Opus);
            saver.write(&received).unwrap();
        }
    };
    tokio::select! {
        () = publishing => {}
        () = watching => {}
    }
    saver.finish().unwrap();
    player.stop().await.unwrap();
    publisher.stop().await.unwrap();
    assert_eq!(viewer.until("broadcaster-disconnected").await.unwrap()["peer"], joined["peer"]["id"]);
    // It begins with the key picture, and goes on in the order of the film.
    let mut copy = MediaFile::open(&into).unwrap();
    let numbers: Vec<u8> =
        std::iter::from_fn(|| copy.next_frame().unwrap()).map(|frame| frame.data[10]).collect();
    assert!(numbers.len() >= 29, "{numbers:?}");
    assert_eq!(numbers[0], 0);
    assert!(numbers.windows(2).all(|two| two[1] > two[0] || two[1] == 0), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_ends_with_its_room() {
    let visavis = Visavis::start(&[]);
    let server = server(&visavis);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.ivf");
    film(&path, 200);
    let mut host = join(&server, Transport::WebSocket, "Ada").await;
    let mut player = Player::watch(&server, "standup", None, None).await.unwrap();
    let publisher = Publisher::publish(&server, "standup", "Film", None, &[Codec::Vp8]).await.unwrap();
    let publishing = async {
        loop {
            let end = publisher.play(&mut [MediaFile::open(&path).unwrap()]).await;
            if let Err(error) = end {
                return error;
            }
        }
    };
    let watching = async {
        player.next().await.unwrap();
        host.send(json!({"type": "host", "action": "end"})).await.unwrap();
        loop {
            if let Err(error) = player.next().await {
                return error;
            }
        }
    };
    let (of_publisher, of_player) = tokio::join!(publishing, watching);
    assert!(matches!(of_publisher, Error::Media(_)), "{of_publisher:?}");
    assert!(matches!(of_player, Error::Media(_)), "{of_player:?}");
    assert!(!of_publisher.is_retryable());
}
