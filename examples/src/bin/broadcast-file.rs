//! Broadcasts a file of video into a room by WHIP, as often as wanted.
//!
//! `cargo run -p examples --bin broadcast-file -- 127.0.0.1:8080 lesson FILE.ivf [TIMES]`, then open
//! `http://127.0.0.1:8080/r/lesson?role=viewer`. `ffmpeg -i FILM -c:v libvpx -an FILE.ivf` makes such a file.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the console is the point")]
#![allow(clippy::disallowed_methods, reason = "the example is its own driver")]

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rtc::media::Sample;
use rtc::media::io::ivf_reader::IVFReader;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MIME_TYPE_VP8;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_sample::TrackLocalStaticSample;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry,
};

const SSRC: u32 = 1;
/// Of VP8, in the default codecs of the crate.
const PAYLOAD_TYPE: u8 = 96;

/// What the connection reports. A report that nobody waits for any more is dropped.
struct Events {
    gathered: Sender<()>,
    connected: Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => drop(self.connected.try_send(true)),
            RTCPeerConnectionState::Failed => drop(self.connected.try_send(false)),
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("say HOST:PORT ROOM FILE.ivf [TIMES]");
    let (server, room, path) = (next()?, next()?, next()?);
    let times: usize = next().map_or(Ok(1), |times| times.parse())?;

    let (gathered, mut all_gathered) = channel(1);
    let (connected, mut is_connected) = channel(1);
    let host = server.split(':').next().unwrap_or_default();
    let local = if host == "127.0.0.1" || host == "localhost" { "127.0.0.1:0" } else { "0.0.0.0:0" };
    let mut engine = MediaEngine::default();
    engine.register_default_codecs()?;
    // With these, lost packets are sent again.
    let registry = register_default_interceptors(Registry::new(), &mut engine)?;
    let builder = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(Events { gathered, connected }))
        .with_udp_addrs(vec![local.to_owned()]);
    let connection = Box::pin(builder.build()).await?;
    let track = Arc::new(TrackLocalStaticSample::new(Instant::now(), camera())?);
    connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await?;

    connection.set_local_description(connection.create_offer(None).await?).await?;
    all_gathered.recv().await.context("the connection ended")?;
    let offer = connection.local_description().await.context("there is no offer")?;
    let (head, answer) = request(&server, "POST", &format!("/whip/{room}?name=File"), &offer.sdp).await?;
    ensure!(head.starts_with("HTTP/1.1 201"), "refused: {head}\n{answer}");
    connection.set_remote_description(RTCSessionDescription::answer(answer)?).await?;
    ensure!(is_connected.recv().await == Some(true), "there is no path to the server");
    println!("on air");

    let mut pictures = 0;
    for _ in 0..times {
        pictures += play(&path, &track).await?;
    }
    let location =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("location: ").map(|_| line));
    let session = location.and_then(|line| line.split_once(": ")).context("the session has no address")?.1;
    request(&server, "DELETE", session, "").await?;
    connection.close().await?;
    println!("{pictures} pictures sent");
    Ok(())
}

/// Sends the pictures of the file at their times; returns their number.
async fn play(path: &str, track: &TrackLocalStaticSample) -> anyhow::Result<usize> {
    let (mut file, header) = IVFReader::new(BufReader::new(File::open(path)?))?;
    ensure!(&header.four_cc == b"VP80", "the video is not VP8");
    let seconds = f64::from(header.timebase_numerator) / f64::from(header.timebase_denominator);
    let duration = Duration::from_secs_f64(seconds);
    let mut ticks = tokio::time::interval(duration);
    let mut pictures = 0;
    while let Ok((picture, _)) = file.parse_next_frame() {
        ticks.tick().await;
        let timestamp = Instant::now();
        let sample = Sample { data: picture.freeze(), timestamp, duration, ..Sample::new(timestamp) };
        track.sample_writer(SSRC, PAYLOAD_TYPE).write_sample(&sample).await?;
        pictures += 1;
    }
    Ok(pictures)
}

fn camera() -> MediaStreamTrack {
    let codec = RTCRtpCodec { mime_type: MIME_TYPE_VP8.to_owned(), clock_rate: 90_000, ..Default::default() };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(SSRC), ..Default::default() },
        codec,
        ..Default::default()
    };
    let name = "file".to_owned();
    MediaStreamTrack::new(name.clone(), name.clone(), name, RtpCodecKind::Video, vec![coding])
}

/// One request over plain HTTP; a program of yours has a client for it. Returns the head and the body.
async fn request(server: &str, method: &str, path: &str, sdp: &str) -> anyhow::Result<(String, String)> {
    let mut stream = TcpStream::connect(server).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-type: application/sdp\r\ncontent-length: {}\r\n\r\n",
        sdp.len()
    );
    stream.write_all((head + sdp).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    Ok((head.to_owned(), body.to_owned()))
}
