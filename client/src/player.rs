//! Watching, by WHEP.

use rtc::rtp::Packet;
use rtc::rtp::codec::vp8::Vp8Packet;
use rtc::rtp::packetizer::Depacketizer as _;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use crate::media::MediaConnection;
use crate::{Codec, Error, Server};

/// A viewer of a room. [`Player::stop`] ends it; if it is only dropped, the server ends it after a while.
pub struct Player {
    connection: MediaConnection,
}

/// A packet of media.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its codec.
    pub codec: Codec,
    /// The packet.
    pub packet: Packet,
}

impl Player {
    /// Watches a publisher of a room (a peer's id), or the first one that there is or will be. `token` is a join token or
    /// the room's host token.
    pub async fn watch(
        server: &Server,
        room: &str,
        publisher: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, Error> {
        let mut connection = MediaConnection::new(server).await?;
        for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
            let direction = RTCRtpTransceiverDirection::Recvonly;
            let init = RTCRtpTransceiverInit { direction, ..Default::default() };
            let added = connection.peer.add_transceiver_from_kind(kind, Some(init)).await;
            added.map_err(|error| Error::media(&error))?;
        }
        let query: Vec<_> = publisher.map(|publisher| ("publisher", publisher)).into_iter().collect();
        connection.open("whep", room, &query, token).await?;
        Ok(Self { connection })
    }

    /// The next packet of any track, in the order of arrival; [`Error::Media`] once the server has ended the connection.
    /// It may be dropped and called again.
    pub async fn next(&mut self) -> Result<Received, Error> {
        let (codec, packet) = self.connection.packet().await?;
        Ok(Received { codec, packet })
    }

    /// Leaves the room.
    pub async fn stop(self) -> Result<(), Error> {
        self.connection.close().await
    }
}

impl Received {
    /// Whether it is the first packet of a picture that needs no earlier one.
    pub fn begins_key_picture(&self) -> bool {
        let payload = &self.packet.payload;
        let first = payload.first().copied().unwrap_or_default();
        match self.codec {
            Codec::Vp8 => {
                let mut descriptor = Vp8Packet::default();
                let picture = descriptor.depacketize(payload);
                picture.is_ok_and(|picture| {
                    descriptor.s == 1 && picture.first().is_some_and(|first| first & 1 == 0)
                })
            }
            // Not predicted from another picture, and the beginning of a frame (RFC 9628 section 4.2).
            Codec::Vp9 => first & 0x40 == 0 && first & 0x08 != 0,
            // The first packet of a coded video sequence.
            Codec::Av1 => first & 0x08 != 0,
            // Parameter sets, alone or aggregated (RFC 6184 section 5.4).
            Codec::H264 => match first & 0x1f {
                24 => payload.get(3).is_some_and(|kind| kind & 0x1f == 7),
                kind => kind == 7,
            },
            Codec::Opus => false,
        }
    }
}
