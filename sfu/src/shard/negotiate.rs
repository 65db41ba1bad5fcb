//! Offers of clients: what they publish, and what players of WHEP ask for.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use signaling_core::message::{Json, PeerConnection, SignalBody, TrackSource};
use signaling_core::{MediaEvent, Patched};

use super::{Answer, NegotiationError, PeerKey, PublicationKey, TransportKey, Worker};
use crate::codec::{Codec, MediaKind};
use crate::dtls::Role;
use crate::ice::Credentials;
use crate::publication::{Described, Origin, Publication};
use crate::sdp::{
    Direction, Extension, ExtensionMap, Feedback, LocalDescription, LocalSection, Msid, OfferedCodec,
    RemoteDescription, RemoteFragment, RemoteSection, SdpError, SectionState, Setup, WrittenCodec,
};
use crate::subscription::Subscription;
use crate::transport::{Purpose, Route, Section};

/// Codecs taken from one section, in the client's order: keeps an answer below 8 KiB.
const MAX_CODECS: usize = 10;

/// An `RTCSessionDescriptionInit`.
#[derive(Deserialize)]
pub(super) struct DescriptionInit {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) sdp: String,
}

impl Worker {
    pub(super) fn on_publish_signal(
        &mut self,
        now: Instant,
        key: PeerKey,
        description: &Json,
        body: &SignalBody,
    ) {
        let offer = serde_json::from_str::<DescriptionInit>(description.as_str()).ok();
        let result = match offer {
            Some(offer) if offer.kind == "offer" => self.on_publish_offer(now, key, &offer.sdp, None),
            _ => Err(NegotiationError::Sdp(SdpError::Mismatch)),
        };
        let Some(peer) = self.peers.get(key) else { return };
        match result {
            Ok(answer) => {
                let body = SignalBody {
                    description: description_json("answer", &answer.sdp),
                    pc: Some(PeerConnection::Publish),
                    negotiation: body.negotiation,
                    ..SignalBody::default()
                };
                self.events.push_back((peer.room.clone(), MediaEvent::Signal { peer: peer.id, body }));
            }
            Err(error) => {
                tracing::info!(peer = %peer.id, %error, "publish offer refused");
                self.events.push_back((peer.room.clone(), MediaEvent::Failed { peer: peer.id }));
            }
        }
    }

    /// Takes an offer to publish, the first one or a later one, and answers it.
    pub(super) fn on_publish_offer(
        &mut self,
        now: Instant,
        peer: PeerKey,
        sdp: &str,
        via: Option<IpAddr>,
    ) -> Result<Answer, NegotiationError> {
        let offer = RemoteDescription::parse(sdp)?;
        if !offer.is_bundled {
            return Err(SdpError::Unbundled.into());
        }
        let usable = |section: &RemoteSection| section.direction.sends() && is_usable(section);
        if !offer.sections.iter().any(|section| section.kind.is_some() && !section.rejected) {
            return Err(SdpError::NothingInCommon.into());
        }
        let known = self.peers.get(peer).ok_or(NegotiationError::UnknownPeer)?.publish;
        if known.is_none() && !offer.sections.iter().any(usable) {
            return Err(SdpError::NothingInCommon.into());
        }
        let transport = self.transport_for(now, peer, known, Purpose::Publish, &offer, via)?;
        let before = self.peers.get(peer).map(|peer| peer.publications.clone()).unwrap_or_default();
        let mut new = Vec::new();
        for (at, offered) in offer.sections.iter().enumerate() {
            let section = self.receive_section(peer, transport, at, offered, &mut new);
            self.set_section(transport, at, section);
        }
        let role = if offer.setup == Setup::Passive { Role::Client } else { Role::Server };
        self.begin_dtls(now, transport, role);
        let now_micros = self.micros(now);
        for publication in &new {
            self.on_published(now_micros, *publication);
        }
        for publication in self.peers.get(peer).map(|peer| peer.publications.clone()).unwrap_or_default() {
            self.announce(now_micros, publication);
        }
        if self.peers.get(peer).is_some_and(|peer| peer.publications != before) {
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
        new: &mut Vec<PublicationKey>,
    ) -> Section {
        let current = match self.transports.get(transport).and_then(|transport| transport.sections.get(at)) {
            Some(Section::Receive { publication, .. }) => *publication,
            _ => None,
        };
        let Some(kind) = offered.kind.filter(|_| is_usable(offered)) else {
            if let Some(publication) = current {
                self.unpublish(publication);
            }
            return Section::reject(offered);
        };
        let mut codecs = negotiated_codecs(&offered.codecs);
        let mut extensions = supported(&offered.extensions, kind);
        if self.is_recorded(peer) {
            super::record::prefer_recordable(&mut codecs);
            // Whoever may not say how a picture lies sends it upright, and a file needs no other one when it is turned.
            extensions.clear(Extension::VideoOrientation);
        }
        let limit = self.shared.config.max_tracks_per_peer;
        let count = self.peers.get(peer).map_or(0, |peer| peer.publications.len());
        let publication = match current {
            Some(publication) if offered.direction.sends() => {
                if let Some(state) = self.publications.get_mut(publication) {
                    state.codecs.clone_from(&codecs);
                    state.extensions = extensions;
                }
                Some(publication)
            }
            Some(publication) => {
                self.unpublish(publication);
                None
            }
            None if offered.direction.sends() && count < limit => {
                let publication = self.publish(peer, transport, offered, kind, &codecs, extensions);
                new.extend(publication);
                publication
            }
            None => None,
        };
        if let (Some(publication), Some(state)) = (publication, self.transports.get_mut(transport)) {
            for (ssrc, rtx) in &offered.ssrcs {
                state.routes.insert(*ssrc, Route::Media(publication));
                if let Some(rtx) = rtx {
                    state.routes.insert(*rtx, Route::Retransmission(publication));
                }
            }
        }
        let direction = if publication.is_some() { Direction::RecvOnly } else { Direction::Inactive };
        Section::Receive {
            publication,
            local: LocalSection {
                mid: offered.mid.clone(),
                kind,
                state: SectionState::Active { direction, codecs, extensions, msid: None },
            },
        }
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
        let announced = self.announced(peer, &offered.mid, kind);
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
        let publication = Publication::new(peer, Origin::Transport(transport), described);
        let key = self.publications.insert(publication);
        self.peers.get_mut(peer)?.publications.push(key);
        self.tap_publication(key);
        Some(key)
    }

    /// Takes the offer of a WHEP client. What nobody publishes yet comes later without another offer.
    pub(super) fn on_play_offer(
        &mut self,
        now: Instant,
        peer: PeerKey,
        sdp: &str,
        via: Option<IpAddr>,
    ) -> Result<Answer, NegotiationError> {
        let offer = RemoteDescription::parse(sdp)?;
        if !offer.is_bundled {
            return Err(SdpError::Unbundled.into());
        }
        if !offer.sections.iter().any(|section| section.direction.receives() && is_usable(section)) {
            return Err(SdpError::NothingInCommon.into());
        }
        let known = self.peers.get(peer).ok_or(NegotiationError::UnknownPeer)?.subscribe;
        let transport = self.transport_for(now, peer, known, Purpose::Subscribe, &offer, via)?;
        for (at, offered) in offer.sections.iter().enumerate() {
            let section = self.send_section(peer, transport, at, offered);
            self.set_section(transport, at, section);
        }
        let role = if offer.setup == Setup::Passive { Role::Client } else { Role::Server };
        self.begin_dtls(now, transport, role);
        let now_micros = self.micros(now);
        self.fill_player(now_micros, peer);
        self.answer(transport, role)
    }

    fn send_section(
        &mut self,
        peer: PeerKey,
        transport: TransportKey,
        at: usize,
        offered: &RemoteSection,
    ) -> Section {
        let current = match self.transports.get(transport).and_then(|transport| transport.sections.get(at)) {
            Some(Section::Send { subscription, .. }) => Some(*subscription),
            _ => None,
        };
        let Some(kind) = offered.kind.filter(|_| is_usable(offered) && offered.direction.receives()) else {
            if let Some(subscription) = current {
                self.detach(subscription, true);
            }
            return Section::reject(offered);
        };
        let codecs = negotiated_codecs(&offered.codecs);
        let extensions = supported(&offered.extensions, kind);
        let key = current.unwrap_or_else(|| self.subscribe_section(transport, offered.mid.clone(), kind));
        let stream = self.peers.get(peer).map(|peer| peer.id.to_string()).unwrap_or_default();
        let msid = self.subscriptions.get_mut(key).map(|subscription| {
            subscription.set_codecs(codecs.clone(), extensions);
            subscription.flow.negotiated = true;
            Msid {
                stream,
                track: format!("{}-{}", kind.as_str(), offered.mid),
                ssrc: subscription.ssrc,
                rtx_ssrc: subscription.has_rtx().then_some(subscription.rtx_ssrc),
            }
        });
        Section::Send {
            subscription: key,
            local: LocalSection {
                mid: offered.mid.clone(),
                kind,
                state: SectionState::Active { direction: Direction::SendOnly, codecs, extensions, msid },
            },
        }
    }

    /// A new sending section with SSRCs that its transport has not used.
    pub(super) fn subscribe_section(
        &mut self,
        transport: TransportKey,
        mid: String,
        kind: MediaKind,
    ) -> super::SubscriptionKey {
        let mut fresh = || loop {
            let ssrc = self.rng_u32();
            let used = self
                .subscriptions
                .values()
                .any(|other| other.transport == transport && (other.ssrc == ssrc || other.rtx_ssrc == ssrc));
            if ssrc != 0 && !used {
                break ssrc;
            }
        };
        let ssrcs = (fresh(), fresh());
        let first = self.rng_u32().to_be_bytes();
        let [a, b, c, d] = first;
        let first = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        self.subscriptions.insert(Subscription::new(transport, mid, kind, ssrcs, first))
    }

    fn rng_u32(&mut self) -> u32 {
        self.random_u32()
    }

    pub(super) fn set_section(&mut self, transport: TransportKey, at: usize, section: Section) {
        let Some(transport) = self.transports.get_mut(transport) else { return };
        match transport.sections.get_mut(at) {
            Some(place) => *place = section,
            None => transport.sections.push(section),
        }
    }

    /// The transport that an offer is about: the known one, renewed by an ICE restart, or a new one when there is none
    /// or the client shows another certificate.
    fn transport_for(
        &mut self,
        now: Instant,
        peer: PeerKey,
        known: Option<TransportKey>,
        purpose: Purpose,
        offer: &RemoteDescription,
        via: Option<IpAddr>,
    ) -> Result<TransportKey, NegotiationError> {
        if let Some(key) = known {
            let transport = self.transports.get(key).ok_or(NegotiationError::UnknownPeer)?;
            let is_same = transport.fingerprint == Some(offer.fingerprint);
            if is_same && offer.sections.len() >= transport.sections.len() {
                if transport.remote_ufrag != offer.ufrag {
                    self.renew_credentials(key, &offer.ufrag);
                }
                return Ok(key);
            }
            self.close_transport(key);
        }
        let key = self.open_transport(now, peer, purpose, via);
        let transport = self.transports.get_mut(key).ok_or(NegotiationError::UnknownPeer)?;
        transport.fingerprint = Some(offer.fingerprint);
        transport.remote_ufrag.clone_from(&offer.ufrag);
        Ok(key)
    }

    /// An ICE restart: new credentials of ours beside the old ones, which hold until the client uses the new ones.
    pub(super) fn renew_credentials(&mut self, key: TransportKey, remote_ufrag: &str) {
        let credentials = Credentials::generate(self.index, &mut self.rng);
        let Some(transport) = self.transports.get_mut(key) else { return };
        // A client that restarts again and again before any check leaves one pair of credentials, not a heap of them.
        while transport.credentials.len() > 1 {
            if let Some(unused) = transport.credentials.pop() {
                self.by_ufrag.remove(&unused.ufrag);
            }
        }
        self.by_ufrag.insert(credentials.ufrag.clone(), key);
        transport.credentials.push(credentials);
        remote_ufrag.clone_into(&mut transport.remote_ufrag);
    }

    /// A PATCH of WHIP or WHEP: candidates need no action, new credentials are a restart (RFC 9725 section 4.3).
    pub(super) fn on_fragment(
        &mut self,
        peer: PeerKey,
        ice_sessions: Option<&[String]>,
        sdp: &str,
    ) -> Result<Patched, NegotiationError> {
        let fragment = RemoteFragment::parse(sdp)?;
        let state = self.peers.get(peer).ok_or(NegotiationError::UnknownPeer)?;
        let key = state.publish.or(state.subscribe).ok_or(NegotiationError::UnknownPeer)?;
        let transport = self.transports.get(key).ok_or(NegotiationError::UnknownPeer)?;
        let current = transport.newest_credentials().ok_or(NegotiationError::UnknownPeer)?;
        if ice_sessions.is_some_and(|sessions| !sessions.contains(&current.ufrag)) {
            return Ok(Patched::Stale);
        }
        let Some(ufrag) = fragment.ufrag.filter(|ufrag| *ufrag != transport.remote_ufrag) else {
            return Ok(Patched::Trickled);
        };
        if !fragment.has_password {
            return Err(SdpError::Missing("ice-pwd").into());
        }
        self.renew_credentials(key, &ufrag);
        let transport = self.transports.get(key).ok_or(NegotiationError::UnknownPeer)?;
        let credentials = transport.newest_credentials().ok_or(NegotiationError::UnknownPeer)?;
        let (kind, mid) = transport
            .sections
            .first()
            .map(|section| (section.local().kind.as_str(), section.local().mid.as_str()))
            .unwrap_or_default();
        let mut out = format!(
            "a=ice-lite\r\nm={kind} 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
            credentials.ufrag, credentials.password
        );
        let ice_session = credentials.ufrag.clone();
        for line in crate::sdp::candidate_lines(&self.candidates(key)) {
            out.push_str(&line);
        }
        out.push_str("a=end-of-candidates\r\n");
        Ok(Patched::Restarted(Answer { sdp: out, ice_session }))
    }

    fn answer(&mut self, key: TransportKey, role: Role) -> Result<Answer, NegotiationError> {
        let setup = if role == Role::Client { Setup::Active } else { Setup::Passive };
        let sdp = self.describe(key, setup).ok_or(NegotiationError::UnknownPeer)?;
        let ice_session = self
            .transports
            .get(key)
            .and_then(|transport| transport.newest_credentials())
            .map(|credentials| credentials.ufrag.clone())
            .unwrap_or_default();
        Ok(Answer { sdp, ice_session })
    }

    /// Writes the transport's description as it stands.
    pub(super) fn describe(&mut self, key: TransportKey, setup: Setup) -> Option<String> {
        let candidates = self.candidates(key);
        let transport = self.transports.get_mut(key)?;
        transport.version += 1;
        let credentials = transport.credentials.last()?;
        let sections: Vec<_> = transport.sections.iter().map(|section| section.local().clone()).collect();
        let description = LocalDescription {
            session: transport.session,
            version: transport.version,
            ufrag: &credentials.ufrag,
            password: &credentials.password,
            fingerprint: self.shared.identity.fingerprint,
            setup,
            candidates: &candidates,
            sections: &sections,
        };
        Some(description.to_sdp())
    }

    /// The address by which the client came first, then those of its kind; loopback for nobody who came another way.
    fn candidates(&self, key: TransportKey) -> Vec<SocketAddr> {
        let via = self.transports.get(key).and_then(|transport| transport.via).map(|ip| ip.to_canonical());
        let mut candidates: Vec<_> = self
            .shared
            .config
            .candidates
            .iter()
            .copied()
            .filter(|candidate| !candidate.ip().is_loopback() || via.is_none_or(|via| via.is_loopback()))
            .collect();
        let is_local = via.is_some_and(|via| via.is_loopback());
        candidates
            .sort_by_key(|candidate| (Some(candidate.ip()) != via, candidate.ip().is_loopback() != is_local));
        candidates
    }
}

fn is_usable(section: &RemoteSection) -> bool {
    !section.rejected && section.kind.is_some() && !section.codecs.is_empty()
}

/// What we answer to these codecs: all that we know, with the feedback that both sides understand. One profile of a
/// codec is taken once.
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
                // One estimator is enough.
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

pub(super) fn description_json(kind: &str, sdp: &str) -> Option<Json> {
    serde_json::from_value(serde_json::json!({ "type": kind, "sdp": sdp })).ok()
}
