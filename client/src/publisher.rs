//! Publishing, by WHIP.

use std::sync::Arc;
use std::time::Duration;

use rtc::media::Sample;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters};
use tokio::time::sleep;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_sample::TrackLocalStaticSample;

use crate::media::MediaConnection;
use crate::{Codec, Error, Frame, MediaFile, Server};

/// A broadcaster in a room. [`Publisher::stop`] ends it; if it is only dropped, the server ends it after a while.
pub struct Publisher {
    connection: MediaConnection,
    tracks: Vec<Track>,
}

struct Track {
    codec: Codec,
    ssrc: u32,
    payload_type: u8,
    local: Arc<TrackLocalStaticSample>,
}

impl Publisher {
    /// Enters a room as a broadcaster of this name, with a track for each codec: one of video and one of sound at most.
    /// `token` is a join token or the room's host token.
    pub async fn publish(
        server: &Server,
        room: &str,
        name: &str,
        token: Option<&str>,
        codecs: &[Codec],
    ) -> Result<Self, Error> {
        let mut connection = MediaConnection::new(server).await?;
        let mut tracks = Vec::new();
        for (ssrc, codec) in (1..).zip(codecs) {
            let media = |error| Error::media(&error);
            let local = TrackLocalStaticSample::new(clock::now(), described(*codec, ssrc)).map_err(media)?;
            let local = Arc::new(local);
            connection.peer.add_track(Arc::clone(&local) as Arc<dyn TrackLocal>).await.map_err(media)?;
            tracks.push(Track { codec: *codec, ssrc, payload_type: 0, local });
        }
        connection.open("whip", room, &[("name", name)], token).await?;
        for track in &mut tracks {
            let accepted = connection.payload_type(track.codec);
            let refused = || Error::Media(format!("the server does not accept {}", track.codec.name()));
            track.payload_type = accepted.ok_or_else(refused)?;
        }
        Ok(Self { connection, tracks })
    }

    /// Sends one picture or packet of sound, at once; [`Error::Media`] once the server has ended the connection.
    pub async fn send(&self, codec: Codec, frame: Frame) -> Result<(), Error> {
        self.connection.check()?;
        let track = self.tracks.iter().find(|track| track.codec == codec);
        let track = track.ok_or(Error::Format("its codec is not published"))?;
        let timestamp = clock::now();
        let sample =
            Sample { data: frame.data, timestamp, duration: frame.duration, ..Sample::new(timestamp) };
        let writer = track.local.sample_writer(track.ssrc, track.payload_type);
        writer.write_sample(&sample).await.map_err(|error| Error::media(&error))
    }

    /// Sends files at the same time, each frame at its time. Returns the number of frames of each.
    pub async fn play(&self, files: &mut [MediaFile]) -> Result<Vec<usize>, Error> {
        let begun = clock::now();
        let mut sent = vec![0; files.len()];
        let mut next = Vec::new();
        for file in files.iter_mut() {
            next.push((file.codec(), file.next_frame()?, Duration::ZERO));
        }
        loop {
            let due = next.iter().enumerate().filter(|(_, (_, frame, _))| frame.is_some());
            let Some((index, at)) = due.map(|(index, (_, _, at))| (index, *at)).min_by_key(|(_, at)| *at)
            else {
                return Ok(sent);
            };
            sleep((begun + at).saturating_duration_since(clock::now())).await;
            let (Some((codec, frame, at)), Some(file)) = (next.get_mut(index), files.get_mut(index)) else {
                return Ok(sent);
            };
            if let Some(frame) = std::mem::replace(frame, file.next_frame()?) {
                *at += frame.duration;
                self.send(*codec, frame).await?;
                if let Some(sent) = sent.get_mut(index) {
                    *sent += 1;
                }
            }
        }
    }

    /// Leaves the room.
    pub async fn stop(self) -> Result<(), Error> {
        self.connection.close().await
    }
}

fn described(codec: Codec, ssrc: u32) -> MediaStreamTrack {
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec: codec.parameters(),
        ..Default::default()
    };
    let name = codec.name().to_owned();
    MediaStreamTrack::new("file".to_owned(), name.clone(), name, codec.kind(), vec![coding])
}
