//! Handles the offers of publishers.

use std::net::IpAddr;
use std::sync::Arc;

use signaling_core::message::TrackSource;
use signaling_core::{HttpAnswer, MediaEvent};

use super::negotiate::{answering_role, is_usable, negotiated_codecs, supported};
use super::record::prefer_recordable;
use super::{NegotiationError, Shard};
use crate::codec::MediaKind;
use crate::keys::{PeerKey, PublicationKey, TransportKey};
use crate::publication::{Described, Origin, Publication};
use crate::sdp::{
    Direction, Extension, ExtensionMap, LocalSection, RemoteDescription, RemoteSection, SdpError,
    SectionState, WrittenCodec,
};
use crate::time::Micros;
use crate::transport::{Purpose, Route, Section};

impl Shard {
    /// Answers a publish offer received through signaling.
    pub(super) fn on_signaled_offer(
        &mut self,
        now: Micros,
        key: PeerKey,
        sdp: &str,
        negotiation: Option<u64>,
    ) {
        match self.on_publish_offer(now, key, sdp, None) {
            Ok(answer) => self.tell(key, |peer| MediaEvent::Answer { peer, sdp: answer.sdp, negotiation }),
            Err(error) => {
                let room = self.rooms.peer(key).map(|peer| peer.room.to_string());
                self.tell(key, |peer| {
                    tracing::info!(room, %peer, %error, "publish offer refused");
                    MediaEvent::Failed { peer }
                });
            }
        }
    }

    /// Answers a publish offer, the first one or a later one.
    pub(super) fn on_publish_offer(
        &mut self,
        now: Micros,
        peer: PeerKey,
        sdp: &str,
        via: Option<IpAddr>,
    ) -> Result<HttpAnswer, NegotiationError> {
        let offer = RemoteDescription::parse_offer(sdp)?;
        if !offer.is_bundled {
            return Err(SdpError::Unbundled.into());
        }
        let usable = |section: &RemoteSection| section.direction.sends() && is_usable(section);
        let known = self.rooms.peer(peer).ok_or(NegotiationError::UnknownPeer)?.publish;
        let has_media = offer.sections.iter().any(|section| section.kind.is_some() && !section.rejected);
        if !has_media || known.is_none() && !offer.sections.iter().any(usable) {
            return Err(SdpError::NothingInCommon.into());
        }
        if known.is_none() && self.is_behind {
            return Err(NegotiationError::Overloaded);
        }
        let transport = self.transport_for(now, peer, known, Purpose::Publish, &offer, via)?;
        let before = self.rooms.publications(peer);
        for (at, offered) in offer.sections.iter().enumerate() {
            let section = self.receive_section(peer, transport, at, offered);
            self.set_section(transport, at, section);
        }
        let role = answering_role(&offer);
        self.start_dtls(now, transport, (role, offer.fingerprint));
        let publications = self.rooms.publications(peer);
        for publication in publications.iter().filter(|publication| !before.contains(publication)) {
            self.on_published(now, *publication);
        }
        for publication in &publications {
            self.announce(now, *publication);
        }
        if publications != before {
            self.tell_tracks(peer);
        }
        self.answer(transport, role)
    }

    fn receive_section(
        &mut self,
        peer: PeerKey,
        transport: TransportKey,
        at: usize,
        offered: &RemoteSection,
    ) -> Section {
        let current = self.section(transport, at).and_then(Section::receives);
        let Some(kind) = offered.kind.filter(|_| is_usable(offered)) else {
            if let Some(publication) = current {
                self.unpublish(publication);
            }
            return Section::reject(offered);
        };
        let mut codecs = negotiated_codecs(&offered.codecs);
        let mut extensions = supported(&offered.extensions, kind);
        if self.rooms.is_recorded(peer) {
            prefer_recordable(&mut codecs);
            // Without this extension, the publisher rotates the picture itself, so the file never
            // needs a change of rotation.
            extensions.clear(Extension::VideoOrientation);
        }
        let count = self.rooms.peer(peer).map_or(0, |peer| peer.publications.len());
        let publication = match current {
            Some(publication) if offered.direction.sends() => {
                if let Some(state) = self.tracks.publication_mut(publication) {
                    state.codecs.clone_from(&codecs);
                    state.extensions = extensions;
                    state.release_streams(&offered.ssrcs);
                }
                Some(publication)
            }
            Some(publication) => {
                self.unpublish(publication);
                None
            }
            None if offered.direction.sends() && count < self.config.max_tracks_per_peer => {
                self.publish(peer, transport, offered, kind, &codecs, extensions)
            }
            None => None,
        };
        if let (Some(publication), Some(state)) = (publication, self.connections.get_mut(transport)) {
            // The SSRCs of layers are announced by the packets, which name the layer.
            let announced = offered.ssrcs.iter().filter(|_| offered.rids.len() < 2);
            for (ssrc, rtx) in announced {
                state.routes.insert(*ssrc, Route::Media(publication, 0));
                if let Some(rtx) = rtx {
                    state.routes.insert(*rtx, Route::Retransmission(publication, 0));
                }
            }
        }
        let direction = if publication.is_some() { Direction::RecvOnly } else { Direction::Inactive };
        let rids = offered.rids.clone();
        let state = SectionState::Active { direction, codecs, extensions, msid: None, rids };
        Section::Receive { publication, local: LocalSection { mid: offered.mid.clone(), kind, state } }
    }

    fn publish(
        &mut self,
        peer: PeerKey,
        transport: TransportKey,
        offered: &RemoteSection,
        kind: MediaKind,
        codecs: &[WrittenCodec],
        extensions: ExtensionMap,
    ) -> Option<PublicationKey> {
        let codec = codecs.first()?.codec;
        let announced = self.rooms.peer(peer)?.announcement(&offered.mid, kind);
        let source = announced.map_or(
            match kind {
                MediaKind::Audio => TrackSource::Microphone,
                MediaKind::Video => TrackSource::Camera,
            },
            |track| track.source,
        );
        let id: Arc<str> = format!("{:08x}{:08x}", self.random_u32(), self.random_u32()).into();
        let described = Described {
            id,
            mid: offered.mid.clone(),
            kind,
            source,
            codecs: codecs.to_vec(),
            codec,
            extensions,
            rids: offered.rids.iter().map(|rid| rid.as_str().into()).collect(),
        };
        let key = self.tracks.publish(Publication::new(peer, Origin::Transport(transport), described));
        self.rooms.peer_mut(peer)?.publications.push(key);
        self.tap_publication(key);
        Some(key)
    }
}
