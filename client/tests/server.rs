//! Sessions and media in rooms of the real server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails in a test fails the test"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use client::{
    Codec, Error, Frame, Join, MediaFile, Over, Player, Publisher, Saver, Server, Session, TokenWanted,
};
use serde_json::{Value, json};
use tests::Visavis;
use tests::api::Api;

const BOTH: [Over; 2] = [Over::WebSocket, Over::Events];

fn server(visavis: &Visavis) -> Server {
    Server::new(&format!("http://{}", visavis.addr)).unwrap()
}

async fn join(server: &Server, over: Over, name: &str) -> Session {
    Session::join(server, over, &Join::new("standup", name)).await.unwrap()
}

fn text(event: &Value) -> &str {
    event["text"].as_str().unwrap()
}

#[tokio::test]
async fn messages_and_events_travel_over_both_transports() {
    let visavis = Visavis::start(&[]);
    let server = server(&visavis);
    for over in BOTH {
        let mut ada = join(&server, over, "Ada").await;
        let mut bob = join(&server, over, "Bob").await;
        assert_eq!(ada.until("peer-joined").await.unwrap()["peer"]["id"], bob.welcome()["self"]["id"]);
        let seq = bob.send(json!({"type": "chat", "text": "Good morning"})).await.unwrap();
        assert_eq!(text(&ada.until("chat").await.unwrap()), "Good morning");
        assert_eq!(bob.until("ack").await.unwrap()["seq"], seq);
        // What is refused is told, and ends nothing.
        let seq = bob.send(json!({"type": "dance"})).await.unwrap();
        let refusal = bob.until("error").await.unwrap();
        assert_eq!((&refusal["code"], &refusal["seq"]), (&json!("unknown-message"), &json!(seq)));
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

#[tokio::test]
async fn errors_say_what_to_do() {
    let visavis = Visavis::start(&["--auth-key", "a secret of at least thirty-two bytes"]);
    let server = server(&visavis);
    for over in BOTH {
        match Session::join(&server, over, &Join::new("standup", "Ada")).await.err() {
            Some(Error::Refused { code, .. }) => assert_eq!(code, "unauthorized"),
            other => panic!("{other:?}"),
        }
    }
    let key = Api::with_key(&visavis, &["rooms"], &[]);
    let wanted = TokenWanted { name: Some("Ada".to_owned()), host: true, ..TokenWanted::default() };
    let token = server.make_token(key.bearer(), "team call", &wanted).await.unwrap();
    let join = Join { token: Some(token.token), ..Join::new("team call", "somebody") };
    let mut session = Session::join(&server, Over::WebSocket, &join).await.unwrap();
    assert_eq!(session.welcome()["self"]["name"], "Ada");
    session.send(json!({"type": "host", "action": "end"})).await.unwrap();
    session.until("room-ended").await.unwrap();
    loop {
        match session.next().await {
            Ok(_) => {}
            Err(Error::Over(1000)) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(matches!(server.make_token("vsk_nonsense", "a", &wanted).await, Err(Error::Refused { .. })));
    let nobody = Server::new("http://127.0.0.1:1").unwrap();
    let lost = Session::join(&nobody, Over::Events, &Join::new("a", "A")).await;
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
    let mut viewer = join(&server, Over::WebSocket, "Ada").await;
    let mut player = Player::watch(&server, "standup", None, None).await.unwrap();
    let publisher =
        Publisher::publish(&server, "standup", "Film", None, &[Codec::Vp8, Codec::Opus]).await.unwrap();
    let joined = viewer.until("peer-joined").await.unwrap();
    assert_eq!((&joined["peer"]["name"], &joined["peer"]["role"]), (&json!("Film"), &json!("broadcaster")));
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
    let mut saved = MediaFile::open(&into).unwrap();
    let numbers: Vec<u8> =
        std::iter::from_fn(|| saved.next_frame().unwrap()).map(|frame| frame.data[10]).collect();
    assert!(numbers.len() >= 29, "{numbers:?}");
    assert_eq!(numbers[0], 0);
    assert!(numbers.windows(2).all(|two| two[1] > two[0] || two[1] == 0), "{numbers:?}");
}
