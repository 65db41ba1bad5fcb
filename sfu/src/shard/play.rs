//! Handles the offers of WHEP players.

use std::net::IpAddr;

use signaling_core::{HttpAnswer, HttpSession};

use super::negotiate::{answering_role, is_usable, negotiated_codecs, supported};
use super::{NegotiationError, Shard};
use crate::keys::{PeerKey, TransportKey};
use crate::sdp::{
    Direction, Extension, LocalSection, Msid, RemoteDescription, RemoteSection, SdpError, SectionState,
};
use crate::time::Micros;
use crate::transport::{Purpose, Section};

impl Shard {
    /// Answers the offer of a WHEP client. Tracks that are published later are attached without another offer.
    pub(super) fn on_play_offer(
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
        if !offer.sections.iter().any(|section| section.direction.receives() && is_usable(section)) {
            return Err(SdpError::NothingInCommon.into());
        }
        let known = self.rooms.peer(peer).ok_or(NegotiationError::UnknownPeer)?.subscribe;
        let transport = self.transport_for(now, peer, known, Purpose::Subscribe, &offer, via)?;
        for (at, offered) in offer.sections.iter().enumerate() {
            let section = self.send_section(peer, transport, at, offered);
            self.set_section(transport, at, section);
        }
        let role = answering_role(&offer);
        self.start_dtls(now, transport, (role, offer.fingerprint));
        self.fill_player(now, peer);
        self.answer(transport, role)
    }

    fn send_section(
        &mut self,
        peer: PeerKey,
        transport: TransportKey,
        at: usize,
        offered: &RemoteSection,
    ) -> Section {
        let current = self.section(transport, at).and_then(Section::sends);
        let Some(kind) = offered.kind.filter(|_| is_usable(offered) && offered.direction.receives()) else {
            if let Some(subscription) = current {
                self.tracks.unsubscribe(subscription);
            }
            return Section::reject(offered);
        };
        let mut codecs = negotiated_codecs(&offered.codecs);
        for codec in &mut codecs {
            // A packet is sent again only as RTX: the same one with another header would reuse a nonce.
            codec.feedback.nack &= codec.rtx.is_some();
        }
        let mut extensions = supported(&offered.extensions, kind);
        extensions.clear(Extension::StreamId);
        extensions.clear(Extension::RepairedStreamId);
        let key = current.unwrap_or_else(|| self.subscribe_section(transport, offered.mid.clone(), kind));
        let stream = self.rooms.peer(peer).map(|peer| peer.id.to_string()).unwrap_or_default();
        let msid = self.tracks.subscription_mut(key).map(|subscription| {
            subscription.set_codecs(codecs.clone(), extensions);
            subscription.flow.negotiated = true;
            // A player has one publisher, and hears it whoever is louder.
            subscription.is_pinned = true;
            Msid {
                stream,
                track: format!("{}-{}", kind.as_str(), offered.mid),
                ssrc: subscription.ssrc,
                rtx_ssrc: subscription.has_rtx().then_some(subscription.rtx_ssrc),
            }
        });
        let state = SectionState::Active {
            direction: Direction::SendOnly,
            codecs,
            extensions,
            msid,
            rids: Vec::new(),
        };
        Section::Send { subscription: key, local: LocalSection { mid: offered.mid.clone(), kind, state } }
    }

    /// The publisher for a player that has named none. The watched one is kept while it is heard; otherwise it is the
    /// first of the room that is heard, or, without any, the watched one or the first.
    fn publisher_for(&self, player: PeerKey, watched: Option<PeerKey>) -> Option<PeerKey> {
        let publishers = || {
            let peers = self.rooms.others(player).filter_map(|key| Some((key, self.rooms.peer(key)?)));
            peers.filter(|(_, peer)| !peer.publications.is_empty())
        };
        let heard = || publishers().filter(|(_, peer)| !peer.is_lost).map(|(key, _)| key);
        heard()
            .find(|key| Some(*key) == watched)
            .or_else(|| heard().next())
            .or(watched)
            .or_else(|| publishers().next().map(|(key, _)| key))
    }

    /// Attaches the tracks of the watched publisher to the free sections of a WHEP client.
    pub(super) fn fill_player(&mut self, now: Micros, key: PeerKey) {
        let Some(peer) = self.rooms.peer(key) else { return };
        let (Some(HttpSession::Play { publisher }), Some(transport)) = (peer.http, peer.subscribe) else {
            return;
        };
        let Some(room) = self.rooms.room_of(key) else { return };
        let sections = self.connections.sends(transport);
        let mut sent: Vec<_> = sections.iter().filter_map(|section| self.tracks.sent_in(*section)).collect();
        let chosen = if let Some(id) = publisher {
            room.find(id)
        } else {
            let watched = sent.first().and_then(|track| Some(self.tracks.publication(*track)?.peer));
            let chosen = self.publisher_for(key, watched);
            if watched.is_some() && chosen != watched {
                for section in &sections {
                    self.tracks.detach(*section);
                }
                sent.clear();
            }
            chosen
        };
        let tracks = chosen.map(|peer| self.rooms.publications(peer)).unwrap_or_default();
        for section in sections {
            let waiting = self.tracks.subscription(section).filter(|state| state.publication.is_none());
            let Some(kind) = waiting.map(|state| state.kind) else { continue };
            let fitting = tracks.iter().copied().find(|track| {
                !sent.contains(track)
                    && self.tracks.publication(*track).is_some_and(|track| track.kind == kind)
            });
            if let Some(publication) = fitting {
                sent.push(publication);
                self.attach(now, section, publication);
            }
        }
    }
}
