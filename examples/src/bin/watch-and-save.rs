//! Watches a broadcast by WHEP and saves its video.
//!
//! `cargo run -p examples --bin watch-and-save -- 127.0.0.1:8080 lesson FILE.ivf [PICTURES]`: saves that many pictures of
//! VP8, 300 by default. It may be started before the broadcast.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the console is the point")]

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rtc::media::io::Writer as _;
use rtc::media::io::ivf_reader::IVFFileHeader;
use rtc::media::io::ivf_writer::IVFWriter;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::rtp::Packet;
use rtc::rtp::codec::vp8::Vp8Packet;
use rtc::rtp::packetizer::Depacketizer as _;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCSessionDescription, Registry,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

/// Packets that wait to be written, at most.
const WAITING: usize = 1_024;

struct Events {
    gathered: Sender<()>,
    packets: Sender<Packet>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            // Whoever doesn't listen any more has heard it already.
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let packets = self.packets.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event
                    && packets.send(packet).await.is_err()
                {
                    return;
                }
            }
        });
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("say HOST:PORT ROOM FILE.ivf [PICTURES]");
    let (server, room, path) = (next()?, next()?, next()?);
    let wanted: usize = next().map_or(Ok(300), |pictures| pictures.parse())?;

    let (gathered, mut all_gathered) = channel(1);
    let (packets, mut arriving) = channel(WAITING);
    let mut engine = MediaEngine::default();
    engine.register_default_codecs()?;
    // With these, lost packets are asked for again.
    let registry = register_default_interceptors(Registry::new(), &mut engine)?;
    let local = if server.starts_with("127.0.0.1:") { "127.0.0.1:0" } else { "0.0.0.0:0" };
    let builder = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(Events { gathered, packets }))
        .with_udp_addrs(vec![local.to_owned()]);
    let connection = Box::pin(builder.build()).await?;
    let direction = RTCRtpTransceiverDirection::Recvonly;
    let init = RTCRtpTransceiverInit { direction, ..Default::default() };
    connection.add_transceiver_from_kind(RtpCodecKind::Video, Some(init)).await?;

    connection.set_local_description(connection.create_offer(None).await?).await?;
    all_gathered.recv().await.context("the connection ended")?;
    let offer = connection.local_description().await.context("there is no offer")?;
    let (head, answer) = request(&server, "POST", &format!("/whep/{room}"), &offer.sdp).await?;
    ensure!(head.starts_with("HTTP/1.1 201"), "refused: {head}\n{answer}");
    connection.set_remote_description(RTCSessionDescription::answer(answer)?).await?;
    println!("watching");

    let header = IVFFileHeader {
        signature: *b"DKIF",
        header_size: 32,
        four_cc: *b"VP80",
        timebase_denominator: 30,
        timebase_numerator: 1,
        ..Default::default()
    };
    let mut file = IVFWriter::new(BufWriter::new(File::create(&path)?), &header)?;
    let (mut pictures, mut began) = (0, false);
    while pictures < wanted {
        let packet = arriving.recv().await.context("the connection ended")?;
        file.write_rtp(&packet)?;
        began |= begins_key_picture(&packet);
        pictures += usize::from(began && packet.header.marker);
    }
    file.close()?;
    connection.close().await?;
    println!("{pictures} pictures saved");
    Ok(())
}

/// Whether the packet is the first of a key picture, with which the file begins.
fn begins_key_picture(packet: &Packet) -> bool {
    let mut descriptor = Vp8Packet::default();
    let picture = descriptor.depacketize(&packet.payload);
    picture.is_ok_and(|picture| descriptor.s == 1 && picture.first().is_some_and(|first| first & 1 == 0))
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
