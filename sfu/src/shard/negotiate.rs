//! Handles the offers of clients: of publishers, and of WHEP players.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use signaling_core::message::TrackSource;
use signaling_core::{HttpAnswer, HttpPatch, HttpSession, MediaEvent, Patched};

use super::{NegotiationError, Shard};
use crate::codec::{Codec, MediaKind};
use crate::dtls::Role;
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey, TransportKey};
use crate::publication::{Described, Origin, Publication};
use crate::sdp::{
    Direction, Extension, ExtensionMap, Feedback, LocalDescription, LocalSection, Msid, OfferedCodec,
    RemoteDescription, RemoteFragment, RemoteSection, SdpError, SectionState, Setup, WrittenCodec,
};
use crate::subscription::Subscription;
use crate::time::Micros;
use crate::transport::{Purpose, Route, Section, Transport};

/// Maximum number of codecs accepted for one section, in the client's order: keeps an answer below 8 KiB.
const MAX_CODECS: usize = 10;

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
            Err(error) => self.tell(key, |peer| {
                tracing::info!(%peer, %error, "publish offer refused");
                MediaEvent::Failed { peer }
            }),
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
        let offer = RemoteDescription::parse(sdp)?;
        if !offer.is_bundled {
            return Err(SdpError::Unbundled.into());
        }
        let usable = |section: &RemoteSection| section.direction.sends() && is_usable(section);
        let known = self.rooms.peer(peer).ok_or(NegotiationError::UnknownPeer)?.publish;
        let has_media = offer.sections.iter().any(|section| section.kind.is_some() && !section.rejected);
        if !has_media || known.is_none() && !offer.sections.iter().any(usable) {
            return Err(SdpError::NothingInCommon.into());
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
            super::record::prefer_recordable(&mut codecs);
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
            for (ssrc, rtx) in &offered.ssrcs {
                state.routes.insert(*ssrc, Route::Media(publication));
                if let Some(rtx) = rtx {
                    state.routes.insert(*rtx, Route::Retransmission(publication));
                }
            }
        }
        let direction = if publication.is_some() { Direction::RecvOnly } else { Direction::Inactive };
        let state = SectionState::Active { direction, codecs, extensions, msid: None };
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
        };
        let key = self.tracks.publish(Publication::new(peer, Origin::Transport(transport), described));
        self.rooms.peer_mut(peer)?.publications.push(key);
        self.tap_publication(key);
        Some(key)
    }

    /// Answers the offer of a WHEP client. Tracks that are published later are attached without another offer.
    pub(super) fn on_play_offer(
        &mut self,
        now: Micros,
        peer: PeerKey,
        sdp: &str,
        via: Option<IpAddr>,
    ) -> Result<HttpAnswer, NegotiationError> {
        let offer = RemoteDescription::parse(sdp)?;
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
        let codecs = negotiated_codecs(&offered.codecs);
        let extensions = supported(&offered.extensions, kind);
        let key = current.unwrap_or_else(|| self.subscribe_section(transport, offered.mid.clone(), kind));
        let stream = self.rooms.peer(peer).map(|peer| peer.id.to_string()).unwrap_or_default();
        let msid = self.tracks.subscription_mut(key).map(|subscription| {
            subscription.set_codecs(codecs.clone(), extensions);
            subscription.flow.negotiated = true;
            Msid {
                stream,
                track: format!("{}-{}", kind.as_str(), offered.mid),
                ssrc: subscription.ssrc,
                rtx_ssrc: subscription.has_rtx().then_some(subscription.rtx_ssrc),
            }
        });
        let state = SectionState::Active { direction: Direction::SendOnly, codecs, extensions, msid };
        Section::Send { subscription: key, local: LocalSection { mid: offered.mid.clone(), kind, state } }
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
        let chosen = match publisher {
            Some(id) => room.find(id),
            // The watched publisher is kept; only a player without tracks is given the first publisher of the room.
            None => {
                sent.first().and_then(|track| Some(self.tracks.publication(*track)?.peer)).or_else(|| {
                    let publishes = |peer: &PeerKey| {
                        self.rooms.peer(*peer).is_some_and(|peer| !peer.publications.is_empty())
                    };
                    self.rooms.others(key).find(publishes)
                })
            }
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

    /// Creates a sending section with SSRCs that are unused on its transport.
    pub(super) fn subscribe_section(
        &mut self,
        transport: TransportKey,
        mid: String,
        kind: MediaKind,
    ) -> SubscriptionKey {
        let ssrcs = (self.fresh_ssrc(transport), self.fresh_ssrc(transport));
        let [a, b, c, d] = self.random_u32().to_be_bytes();
        let first = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        self.tracks.subscriptions.insert(Subscription::new(transport, mid, kind, ssrcs, first))
    }

    fn fresh_ssrc(&mut self, transport: TransportKey) -> u32 {
        loop {
            let ssrc = self.random_u32();
            let mut others = self.tracks.subscriptions.values();
            let is_used = others
                .any(|other| other.transport == transport && (other.ssrc == ssrc || other.rtx_ssrc == ssrc));
            if ssrc != 0 && !is_used {
                return ssrc;
            }
        }
    }

    pub(super) fn section(&self, transport: TransportKey, at: usize) -> Option<&Section> {
        self.connections.get(transport)?.sections.get(at)
    }

    pub(super) fn set_section(&mut self, transport: TransportKey, at: usize, section: Section) {
        if let Some(transport) = self.connections.get_mut(transport) {
            transport.set_section(at, section);
        }
    }

    /// The transport that an offer applies to: the existing one, with an ICE restart if the credentials are new, or a
    /// new one if there is none, the certificate has changed, or sections are missing.
    fn transport_for(
        &mut self,
        now: Micros,
        peer: PeerKey,
        known: Option<TransportKey>,
        purpose: Purpose,
        offer: &RemoteDescription,
        via: Option<IpAddr>,
    ) -> Result<TransportKey, NegotiationError> {
        if let Some(key) = known {
            let transport = self.connections.get(key).ok_or(NegotiationError::UnknownPeer)?;
            let is_same = transport.fingerprint() == Some(offer.fingerprint);
            if is_same && offer.sections.len() >= transport.sections.len() {
                if transport.ice.remote_ufrag != offer.ufrag {
                    let fresh = self.fresh_credentials();
                    self.connections.restart_ice(key, fresh, &offer.ufrag);
                }
                return Ok(key);
            }
            self.close_transport(key);
        }
        Ok(self.open_transport(now, peer, purpose, via, offer.ufrag.clone()))
    }

    /// Handles a PATCH of WHIP or WHEP: candidates need no action, new credentials are an ICE
    /// restart (RFC 9725 section 4.3).
    pub(super) fn on_patch(&mut self, peer: PeerKey, patch: &HttpPatch) -> Result<Patched, NegotiationError> {
        let fragment = RemoteFragment::parse(&patch.sdp)?;
        let state = self.rooms.peer(peer).ok_or(NegotiationError::UnknownPeer)?;
        let key = state.publish.or(state.subscribe).ok_or(NegotiationError::UnknownPeer)?;
        let transport = self.connections.get(key).ok_or(NegotiationError::UnknownPeer)?;
        let current = transport.ice.credentials().ok_or(NegotiationError::UnknownPeer)?;
        if patch.ice_sessions.as_ref().is_some_and(|sessions| !sessions.contains(&current.ufrag)) {
            return Ok(Patched::Stale);
        }
        let Some(ufrag) = fragment.ufrag.filter(|ufrag| *ufrag != transport.ice.remote_ufrag) else {
            return Ok(Patched::Trickled);
        };
        if !fragment.has_password {
            return Err(SdpError::Missing("ice-pwd").into());
        }
        let fresh = self.fresh_credentials();
        self.connections.restart_ice(key, fresh, &ufrag);
        self.fragment(key).map(Patched::Restarted).ok_or(NegotiationError::UnknownPeer)
    }

    /// Writes a transport's credentials and candidates as an SDP fragment (RFC 8840).
    fn fragment(&self, key: TransportKey) -> Option<HttpAnswer> {
        let transport = self.connections.get(key)?;
        let credentials = transport.ice.credentials()?;
        let first = transport.sections.first().map(Section::local);
        let (kind, mid) = first.map(|local| (local.kind.as_str(), local.mid.as_str())).unwrap_or_default();
        let mut sdp = format!("a=ice-lite\r\nm={kind} 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n");
        let _ = write!(sdp, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", credentials.ufrag, credentials.password);
        sdp.extend(crate::sdp::candidate_lines(&self.candidates(transport)));
        sdp.push_str("a=end-of-candidates\r\n");
        Some(HttpAnswer { sdp, ice_session: credentials.ufrag.clone() })
    }

    fn answer(&mut self, key: TransportKey, role: Role) -> Result<HttpAnswer, NegotiationError> {
        let setup = if role == Role::Client { Setup::Active } else { Setup::Passive };
        let sdp = self.describe(key, setup).ok_or(NegotiationError::UnknownPeer)?;
        let credentials = self.connections.get(key).and_then(|transport| transport.ice.credentials());
        let ice_session = credentials.map(|credentials| credentials.ufrag.clone()).unwrap_or_default();
        Ok(HttpAnswer { sdp, ice_session })
    }

    /// Writes the transport's current description.
    pub(super) fn describe(&mut self, key: TransportKey, setup: Setup) -> Option<String> {
        let candidates = self.candidates(self.connections.get(key)?);
        let transport = self.connections.get_mut(key)?;
        transport.version += 1;
        let credentials = transport.ice.credentials()?;
        let sections: Vec<_> = transport.sections.iter().map(|section| section.local().clone()).collect();
        let description = LocalDescription {
            session: transport.session,
            version: transport.version,
            ufrag: &credentials.ufrag,
            password: &credentials.password,
            fingerprint: self.identity.fingerprint,
            setup,
            candidates: &candidates,
            sections: &sections,
        };
        Some(description.to_sdp())
    }

    /// The candidates, with the address that the client reached first and loopback only for
    /// clients that came over loopback.
    fn candidates(&self, transport: &Transport) -> Vec<SocketAddr> {
        let via = transport.via.map(|ip| ip.to_canonical());
        let is_told =
            |candidate: &SocketAddr| !candidate.ip().is_loopback() || via.is_none_or(|via| via.is_loopback());
        let mut candidates: Vec<_> = self.config.candidates.iter().copied().filter(is_told).collect();
        let is_local = via.is_some_and(|via| via.is_loopback());
        candidates
            .sort_by_key(|candidate| (Some(candidate.ip()) != via, candidate.ip().is_loopback() != is_local));
        candidates
    }
}

/// Our DTLS role in an answer: server, unless the client asks to be the server.
fn answering_role(offer: &RemoteDescription) -> Role {
    if offer.setup == Setup::Passive { Role::Client } else { Role::Server }
}

fn is_usable(section: &RemoteSection) -> bool {
    !section.rejected && section.kind.is_some() && !section.codecs.is_empty()
}

/// The codecs of an answer: all known ones, with the feedback that both sides support. Each profile of
/// a codec is accepted once.
fn negotiated_codecs(offered: &[OfferedCodec]) -> Vec<WrittenCodec> {
    let mut written: HashSet<Codec> = HashSet::new();
    offered
        .iter()
        .filter(|codec| written.insert(codec.codec))
        .take(MAX_CODECS)
        .map(|offered| WrittenCodec {
            codec: offered.codec,
            payload_type: offered.payload_type,
            rtx: offered.rtx,
            fmtp: offered.fmtp.clone(),
            feedback: Feedback {
                // One bandwidth estimator is enough.
                remb: offered.feedback.remb && !offered.feedback.transport_cc,
                ..offered.feedback
            },
        })
        .collect()
}

fn supported(offered: &ExtensionMap, kind: MediaKind) -> ExtensionMap {
    let mut map = ExtensionMap::default();
    let has_transport_sequence = offered.id(Extension::TransportSequence).is_some();
    for (extension, id) in offered.iter().filter(|(extension, _)| extension.fits(kind)) {
        if !(extension == Extension::AbsSendTime && has_transport_sequence) {
            map.set(extension, id);
        }
    }
    map
}
