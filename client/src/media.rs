//! A media connection with the server, set up by WHIP (RFC 9725) or WHEP.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, LOCATION};
use http::{Method, StatusCode};
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::rtp::Packet;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::time::timeout;
use url::Url;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
};

use crate::http::{Ask, PATIENCE};
use crate::token::push;
use crate::{Codec, Error, Server};

/// Packets that wait for the caller, at most; beyond that, the connection waits.
const WAITING: usize = 1_024;
const SDP: &str = "application/sdp";
/// A path that is silent for this long, and for as long again, is lost. This is also how the end of a session is noticed,
/// since the `webrtc` crate does not tell of DTLS's `close_notify`.
const SILENCE: Duration = Duration::from_secs(5);

/// What a connection reports. A report that nobody waits for any more is dropped.
struct Events {
    gathered: Sender<()>,
    phase: watch::Sender<Phase>,
    packets: Sender<Packet>,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    /// Media can flow.
    Connected,
    Ended,
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
            RTCPeerConnectionState::Connected => drop(self.phase.send_replace(Phase::Connected)),
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => {
                self.phase.send_replace(Phase::Ended);
            }
            _ => {}
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

/// A media connection.
pub(crate) struct MediaConnection {
    pub(crate) peer: Box<dyn PeerConnection>,
    packets: Receiver<Packet>,
    gathered: Receiver<()>,
    phase: watch::Receiver<Phase>,
    server: Server,
    /// The URL of the session.
    location: Option<Url>,
    /// The payload types of the answer.
    codecs: Vec<(u8, Codec)>,
}

impl MediaConnection {
    pub(crate) async fn new(server: &Server) -> Result<Self, Error> {
        let (gathered, has_gathered) = channel(1);
        let (changes, phase) = watch::channel(Phase::New);
        let (packets, arriving) = channel(WAITING);
        let local = if server.is_local().await { "127.0.0.1:0" } else { "0.0.0.0:0" };
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().map_err(|error| Error::media(&error))?;
        // With these, lost packets are sent again.
        let registry = register_default_interceptors(Registry::new(), &mut engine)
            .map_err(|error| Error::media(&error))?;
        let settings = SettingEngineBuilder::new().with_ice_timeouts(Some(SILENCE), Some(SILENCE), None);
        let builder = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings.build())
            .with_handler(Arc::new(Events { gathered, phase: changes, packets }))
            .with_udp_addrs(vec![local.to_owned()]);
        let peer = Box::pin(builder.build()).await.map_err(|error| Error::media(&error))?;
        Ok(Self {
            peer: Box::new(peer),
            packets: arriving,
            gathered: has_gathered,
            phase,
            server: server.clone(),
            location: None,
            codecs: Vec::new(),
        })
    }

    /// Sends the offer to `whip` or `whep` of a room, applies the answer, and waits until media can flow.
    pub(crate) async fn open(
        &mut self,
        endpoint: &str,
        room: &str,
        query: &[(&str, &str)],
        bearer: Option<&str>,
    ) -> Result<(), Error> {
        let media = |error| Error::media(&error);
        let offer = self.peer.create_offer(None).await.map_err(media)?;
        self.peer.set_local_description(offer).await.map_err(media)?;
        self.gathered.recv().await.ok_or_else(ended)?;
        let offer = self.peer.local_description().await.ok_or_else(ended)?;
        let mut url = self.server.url("")?;
        push(&mut url, &[endpoint, room])?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut ask = Ask::new(Method::POST, url.clone(), bearer);
        ask.headers.push((ACCEPT, SDP.to_owned()));
        ask.body = Some((SDP, offer.sdp));
        let answer = self.server.ask(ask).await?.check()?;
        if answer.status != StatusCode::CREATED {
            return Err(Error::Protocol(format!("an offer was answered with {}", answer.status)));
        }
        let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        self.location = location.and_then(|location| url.join(location).ok());
        self.codecs = codecs(&answer.body);
        let description = RTCSessionDescription::answer(answer.body).map_err(media)?;
        self.peer.set_remote_description(description).await.map_err(media)?;
        let settled = timeout(PATIENCE, self.phase.wait_for(|phase| *phase != Phase::New)).await;
        match settled.as_ref().map(|phase| phase.as_deref()) {
            Ok(Ok(Phase::Connected)) => Ok(()),
            _ => Err(Error::Media("there is no path to the server".to_owned())),
        }
    }

    /// Whether it has not ended.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.phase.borrow() == Phase::Ended { Err(ended()) } else { Ok(()) }
    }

    /// The next packet of any track, of a payload type that the answer names. It may be dropped and called again.
    pub(crate) async fn packet(&mut self) -> Result<(Codec, Packet), Error> {
        loop {
            let packet = tokio::select! {
                biased;
                packet = self.packets.recv() => packet,
                _ = self.phase.wait_for(|phase| *phase == Phase::Ended) => None,
            };
            let packet = packet.ok_or_else(ended)?;
            // Others are padding, or retransmissions that came as such.
            if let Some(codec) = self.codec(packet.header.payload_type) {
                return Ok((codec, packet));
            }
        }
    }

    /// The codec of a payload type.
    fn codec(&self, payload_type: u8) -> Option<Codec> {
        self.codecs.iter().find(|(known, _)| *known == payload_type).map(|(_, codec)| *codec)
    }

    /// The first payload type of a codec that the server accepts.
    pub(crate) fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.codecs.iter().find(|(_, known)| *known == codec).map(|(payload_type, _)| *payload_type)
    }

    /// Ends the session at the server, and the connection.
    pub(crate) async fn close(self) -> Result<(), Error> {
        if let Some(location) = self.location {
            // A session that is over already has ended as wished.
            let _ = self.server.ask(Ask::new(Method::DELETE, location, None)).await?;
        }
        self.peer.close().await.map_err(|error| Error::media(&error))
    }
}

fn ended() -> Error {
    Error::Media("the connection has ended".to_owned())
}

/// The payload types of a description, in its order.
fn codecs(sdp: &str) -> Vec<(u8, Codec)> {
    let mappings = sdp.lines().filter_map(|line| line.strip_prefix("a=rtpmap:"));
    let read = |mapping: &str| {
        let (payload_type, codec) = mapping.split_once(' ')?;
        Some((payload_type.parse().ok()?, Codec::named(codec.split('/').next()?)?))
    };
    mappings.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_types_are_those_of_the_answer() {
        let sdp = "m=audio 9 x 111\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 x 96 97\r\na=rtpmap:96 VP8/90000\r\n\
                   a=rtpmap:97 rtx/90000\r\na=rtpmap:x H264/90000\r\na=rtpmap:98\r\na=rtpmap:102 H264/90000\r\n";
        assert_eq!(codecs(sdp), [(111, Codec::Opus), (96, Codec::Vp8), (102, Codec::H264)]);
    }
}
