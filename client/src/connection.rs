//! A media connection with the server, set up by WHIP (RFC 9725) or WHEP.

use std::sync::Arc;

use http::header::{ACCEPT, LOCATION};
use http::{Method, StatusCode};
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use url::Url;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry,
};

use crate::http::Ask;
use crate::token::push;
use crate::{Codec, Error, Server};

/// Packets that wait for the caller, at most; beyond that, the connection waits.
const WAITING: usize = 1_024;
const SDP: &str = "application/sdp";

/// What a connection reports. A report that nobody waits for any more is dropped.
struct Events {
    gathered: Sender<()>,
    connected: Sender<bool>,
    packets: Sender<rtc::rtp::Packet>,
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
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => {
                let _ = self.connected.try_send(false);
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
pub(crate) struct Connection {
    pub(crate) peer: Box<dyn PeerConnection>,
    pub(crate) packets: Receiver<rtc::rtp::Packet>,
    gathered: Receiver<()>,
    connected: Receiver<bool>,
    server: Server,
    /// The URL of the session.
    location: Option<Url>,
    /// The payload types of the answer.
    codecs: Vec<(u8, Codec)>,
}

impl Connection {
    pub(crate) async fn new(server: &Server) -> Result<Self, Error> {
        let (gathered, has_gathered) = channel(1);
        let (connected, is_connected) = channel(2);
        let (packets, arriving) = channel(WAITING);
        let local = if server.is_local().await { "127.0.0.1:0" } else { "0.0.0.0:0" };
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().map_err(|error| Error::media(&error))?;
        // With these, lost packets are sent again.
        let registry = register_default_interceptors(Registry::new(), &mut engine)
            .map_err(|error| Error::media(&error))?;
        let builder = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Events { gathered, connected, packets }))
            .with_udp_addrs(vec![local.to_owned()]);
        let peer = Box::pin(builder.build()).await.map_err(|error| Error::media(&error))?;
        Ok(Self {
            peer: Box::new(peer),
            packets: arriving,
            gathered: has_gathered,
            connected: is_connected,
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
        let ended = || Error::Media("it has ended".to_owned());
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
        match self.connected.recv().await {
            Some(true) => Ok(()),
            _ => Err(Error::Media("there is no path to the server".to_owned())),
        }
    }

    /// The codec of a payload type.
    pub(crate) fn codec(&self, payload_type: u8) -> Option<Codec> {
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
