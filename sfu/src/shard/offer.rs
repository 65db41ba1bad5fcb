//! Our offers to those who receive: one outstanding at a time, changes merged, each with a number.

use std::time::Instant;

use signaling_core::MediaEvent;
use signaling_core::message::{Json, PeerConnection, SignalBody, SubscribeTrack};

use super::negotiate::{DescriptionInit, description_json};
use super::{PeerKey, PublicationKey, SubscriptionKey, TransportKey, Worker};
use crate::codec::{Codec, MediaKind};
use crate::dtls::Role;
use crate::sdp::{
    Direction, Extension, ExtensionMap, Feedback, LocalSection, MAX_SECTIONS, Msid, RemoteDescription,
    SdpError, SectionState, Setup, WrittenCodec,
};
use crate::transport::{Purpose, Section};

/// The payload types that we give out, in this order.
const PAYLOAD_TYPES: std::ops::RangeInclusive<u8> = 96..=127;

impl Worker {
    /// Brings the sections of everybody who needs it up to date and makes the offers that are due.
    pub(super) fn negotiate_pending(&mut self, now_micros: u64) {
        while let Some(key) = self.renegotiate.pop() {
            let Some(peer) = self.peers.get(key).filter(|peer| peer.served_by == self.index) else {
                continue;
            };
            if peer.http.is_some() {
                self.fill_player(now_micros, key);
                continue;
            }
            if self.update_sections(now_micros, key) {
                self.offer(key);
            }
        }
    }

    /// Adds sections for tracks that the peer should get and empties those whose tracks are gone. Says whether an offer
    /// is due now.
    fn update_sections(&mut self, now_micros: u64, key: PeerKey) -> bool {
        let wanted = self.tracks_for(key);
        let Some(peer) = self.peers.get(key) else { return false };
        let transport = match peer.subscribe {
            Some(transport) => transport,
            None if wanted.is_empty() => return false,
            None => {
                let now = self.epoch + std::time::Duration::from_micros(now_micros);
                self.open_transport(now, key, Purpose::Subscribe, None)
            }
        };
        let mut changed = false;
        let sections = self.sections_to_send(transport);
        let carried: Vec<_> =
            sections.iter().filter_map(|s| self.subscriptions.get(*s).and_then(|s| s.publication)).collect();
        for publication in wanted.iter().filter(|wanted| !carried.contains(wanted)) {
            changed |= self.add_section(now_micros, key, transport, *publication);
        }
        let count = self.transports.get(transport).map_or(0, |transport| transport.sections.len());
        for at in 0..count {
            changed |= self.refresh_section(key, transport, at);
        }
        let Some(state) = self.transports.get_mut(transport) else { return false };
        state.negotiation.stale |= changed;
        state.negotiation.stale && !state.negotiation.outstanding
    }

    fn tracks_for(&self, key: PeerKey) -> Vec<PublicationKey> {
        let Some(room) = self.peers.get(key).and_then(|peer| self.rooms.get(&peer.room)) else {
            return Vec::new();
        };
        let others =
            room.order.iter().filter(|other| **other != key).filter_map(|other| self.peers.get(*other));
        others.flat_map(|other| other.publications.iter().copied()).collect()
    }

    /// Puts a track into a section that has none, or into a new one.
    fn add_section(
        &mut self,
        now_micros: u64,
        peer: PeerKey,
        transport: TransportKey,
        publication: PublicationKey,
    ) -> bool {
        let Some(kind) = self.publications.get(publication).map(|publication| publication.kind) else {
            return false;
        };
        let Some(state) = self.transports.get(transport) else { return false };
        let free = state.sections.iter().position(|section| match section {
            Section::Send { subscription, .. } => self
                .subscriptions
                .get(*subscription)
                .is_some_and(|s| s.publication.is_none() && s.kind == kind),
            _ => false,
        });
        let at = free.unwrap_or(state.sections.len());
        if at >= MAX_SECTIONS {
            return false;
        }
        let mid =
            state.sections.get(at).map_or_else(|| at.to_string(), |section| section.local().mid.clone());
        if let Some(Section::Send { subscription, .. }) = state.sections.get(at) {
            // Another track is another stream: its SSRC is new, so that no packet of the old one is taken for it.
            let old = *subscription;
            self.detach(old, true);
        }
        let subscription = self.subscribe_section(transport, mid.clone(), kind);
        let wanted = self
            .publications
            .get(publication)
            .zip(self.peers.get(peer))
            .is_none_or(|(publication, peer)| peer.wants(&publication.id));
        if let Some(state) = self.subscriptions.get_mut(subscription) {
            state.flow.wanted = wanted;
        }
        let state = SectionState::Active {
            direction: Direction::Inactive,
            codecs: Vec::new(),
            extensions: ExtensionMap::offered(kind),
            msid: None,
        };
        self.set_section(
            transport,
            at,
            Section::Send { subscription, local: LocalSection { mid, kind, state } },
        );
        self.attach(now_micros, subscription, publication);
        true
    }

    /// Writes anew what a section says; whether it says something else than before.
    fn refresh_section(&mut self, peer: PeerKey, transport: TransportKey, at: usize) -> bool {
        let Some(Section::Send { subscription, .. }) =
            self.transports.get(transport).and_then(|t| t.sections.get(at))
        else {
            return false;
        };
        let key = *subscription;
        let Some(subscription) = self.subscriptions.get(key) else { return false };
        let (ssrc, rtx_ssrc, kind) = (subscription.ssrc, subscription.rtx_ssrc, subscription.kind);
        let published = subscription.publication.and_then(|publication| self.publications.get(publication));
        let source = published.map(|publication| {
            let stream = self.peers.get(publication.peer).map(|peer| peer.id.to_string()).unwrap_or_default();
            let codecs: Vec<(Codec, String)> = publication
                .codecs
                .iter()
                .filter(|written| written.codec == publication.codec || kind == MediaKind::Audio)
                .map(|written| (written.codec, written.fmtp.clone()))
                .collect();
            (stream, publication.id.to_string(), codecs)
        });
        let _ = peer;
        let (direction, new_codecs, msid) = match source {
            Some((stream, track, codecs)) => {
                let codecs: Vec<_> = codecs
                    .into_iter()
                    .filter_map(|(codec, fmtp)| self.written(transport, codec, fmtp))
                    .collect();
                let has_rtx = codecs.iter().any(|codec| codec.rtx.is_some());
                let msid = Msid { stream, track, ssrc, rtx_ssrc: has_rtx.then_some(rtx_ssrc) };
                (Direction::SendOnly, codecs, Some(msid))
            }
            None => (Direction::Inactive, Vec::new(), None),
        };
        let Some(Section::Send { local, .. }) =
            self.transports.get_mut(transport).and_then(|t| t.sections.get_mut(at))
        else {
            return false;
        };
        let SectionState::Active { direction: old_direction, codecs, msid: old_msid, .. } = &mut local.state
        else {
            return false;
        };
        // An m-line names formats even while it is inactive: those of before stay.
        let new_codecs = if new_codecs.is_empty() { codecs.clone() } else { new_codecs };
        let changed = *old_direction != direction || *codecs != new_codecs || *old_msid != msid;
        (*old_direction, *codecs, *old_msid) = (direction, new_codecs, msid);
        changed
    }

    /// A codec with the payload type that this transport knows it by.
    fn written(&mut self, transport: TransportKey, codec: Codec, fmtp: String) -> Option<WrittenCodec> {
        let table = &mut self.transports.get_mut(transport)?.payload_types;
        let known = table.iter().find(|(known, ..)| *known == codec).copied();
        let (_, payload_type, rtx) = if let Some(entry) = known {
            entry
        } else {
            let used = |number: &u8| table.iter().any(|(_, a, b)| a == number || *b == Some(*number));
            let mut free = PAYLOAD_TYPES.filter(|number| !used(number));
            let payload_type = free.next()?;
            let rtx = if codec.kind() == MediaKind::Video { Some(free.next()?) } else { None };
            table.push((codec, payload_type, rtx));
            (codec, payload_type, rtx)
        };
        let fmtp = match codec {
            Codec::Red => {
                let opus = table.iter().find(|(known, ..)| *known == Codec::Opus)?.1;
                format!("{opus}/{opus}")
            }
            _ => fmtp,
        };
        let feedback = match codec.kind() {
            MediaKind::Audio => Feedback { transport_cc: true, ..Feedback::default() },
            MediaKind::Video => {
                Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: false }
            }
        };
        Some(WrittenCodec { codec, payload_type, rtx, fmtp, feedback })
    }

    /// Makes the next offer.
    fn offer(&mut self, key: PeerKey) {
        let Some(transport) = self.peers.get(key).and_then(|peer| peer.subscribe) else { return };
        if let Some(state) = self.transports.get_mut(transport) {
            state.negotiation.number += 1;
            state.negotiation.outstanding = true;
            state.negotiation.stale = false;
        }
        self.send_offer(key, transport);
    }

    /// Sends the newest offer, which says how the sections stand.
    fn send_offer(&mut self, key: PeerKey, transport: TransportKey) {
        // After the handshake the roles stay what they are (RFC 8842 section 5.5).
        let Some(sdp) = self.describe(transport, Setup::ActPass) else { return };
        let tracks = self.offered_tracks(transport);
        let (Some(peer), Some(state)) = (self.peers.get(key), self.transports.get(transport)) else { return };
        let body = SignalBody {
            description: description_json("offer", &sdp),
            pc: Some(PeerConnection::Subscribe),
            negotiation: Some(state.negotiation.number),
            tracks,
            ..SignalBody::default()
        };
        self.events.push_back((peer.room.clone(), MediaEvent::Signal { peer: peer.id, body }));
    }

    fn offered_tracks(&self, transport: TransportKey) -> Vec<SubscribeTrack> {
        let sections = self.sections_to_send(transport);
        sections
            .iter()
            .filter_map(|subscription| {
                let subscription = self.subscriptions.get(*subscription)?;
                let publication = self.publications.get(subscription.publication?)?;
                Some(SubscribeTrack {
                    mid: subscription.mid.clone(),
                    track: publication.id.to_string(),
                    peer: self.peers.get(publication.peer)?.id,
                })
            })
            .collect()
    }

    /// The standing offer may have been lost.
    pub(super) fn resend(&mut self, key: PeerKey) {
        let Some(transport) = self.peers.get(key).and_then(|peer| peer.subscribe) else {
            self.renegotiate.push(key);
            return;
        };
        if self.transports.get(transport).is_some_and(|state| !state.sections.is_empty()) {
            // Anew rather than again: what has changed meanwhile goes with it.
            if let Some(state) = self.transports.get_mut(transport) {
                state.negotiation.outstanding = false;
                state.negotiation.stale = true;
            }
            self.renegotiate.push(key);
        }
    }

    /// The client asks for new ICE credentials, or for a new connection when there is none.
    pub(super) fn restart_subscribe(&mut self, now_micros: u64, key: PeerKey) {
        let _ = now_micros;
        if let Some(transport) = self.peers.get(key).and_then(|peer| peer.subscribe) {
            let remote = self.transports.get(transport).map(|t| t.remote_ufrag.clone()).unwrap_or_default();
            self.renew_credentials(transport, &remote);
            if let Some(state) = self.transports.get_mut(transport) {
                state.negotiation.outstanding = false;
                state.negotiation.stale = true;
            }
        }
        self.renegotiate.push(key);
    }

    /// The answer to our offer. One to an older offer is dropped.
    pub(super) fn on_subscribe_answer(
        &mut self,
        now: Instant,
        key: PeerKey,
        description: &Json,
        negotiation: Option<u64>,
    ) {
        let Some(peer) = self.peers.get(key) else { return };
        let (room, id) = (peer.room.clone(), peer.id);
        let Some(transport) = peer.subscribe else { return };
        let Some(state) = self.transports.get(transport) else { return };
        let is_current = negotiation.is_none_or(|number| number == state.negotiation.number);
        if !state.negotiation.outstanding || !is_current {
            return;
        }
        let answer = serde_json::from_str::<DescriptionInit>(description.as_str())
            .ok()
            .filter(|answer| answer.kind == "answer")
            .ok_or(SdpError::Mismatch)
            .and_then(|answer| RemoteDescription::parse(&answer.sdp));
        let result = answer.and_then(|answer| self.apply_answer(now, transport, &answer));
        if let Err(error) = result {
            tracing::info!(peer = %id, %error, "subscribe answer refused");
            self.close_transport(transport);
            self.events.push_back((room, MediaEvent::Failed { peer: id }));
            return;
        }
        if let Some(state) = self.transports.get_mut(transport) {
            state.negotiation.outstanding = false;
            if state.negotiation.stale {
                self.renegotiate.push(key);
            }
        }
    }

    fn apply_answer(
        &mut self,
        now: Instant,
        key: TransportKey,
        answer: &RemoteDescription,
    ) -> Result<(), SdpError> {
        let transport = self.transports.get_mut(key).ok_or(SdpError::Mismatch)?;
        let known = transport.fingerprint;
        if known.is_some_and(|known| known != answer.fingerprint) || answer.setup == Setup::ActPass {
            return Err(SdpError::Mismatch);
        }
        transport.fingerprint = Some(answer.fingerprint);
        transport.remote_ufrag.clone_from(&answer.ufrag);
        let sends: Vec<(SubscriptionKey, LocalSection)> = transport
            .sections
            .iter()
            .filter_map(|section| match section {
                Section::Send { subscription, local } => Some((*subscription, local.clone())),
                _ => None,
            })
            .collect();
        for (subscription, local) in sends {
            let Some(answered) = answer.sections.iter().find(|section| section.mid == local.mid) else {
                // Added to the sections after the offer that this answers.
                continue;
            };
            let SectionState::Active { codecs, extensions, direction, .. } = &local.state else { continue };
            let Some(state) = self.subscriptions.get_mut(subscription) else { continue };
            let accepted: Vec<_> = codecs
                .iter()
                .filter(|codec| answered.codecs.iter().any(|a| a.payload_type == codec.payload_type))
                .map(|codec| {
                    let rtx = answered
                        .codecs
                        .iter()
                        .find(|a| a.payload_type == codec.payload_type)
                        .and_then(|a| a.rtx);
                    WrittenCodec { rtx: codec.rtx.filter(|ours| Some(*ours) == rtx), ..codec.clone() }
                })
                .collect();
            let mut agreed = ExtensionMap::default();
            for (extension, id) in
                extensions.iter().filter(|pair| answered.extensions.id(pair.0) == Some(pair.1))
            {
                let superseded = extension == Extension::AbsSendTime
                    && answered.extensions.id(Extension::TransportSequence).is_some();
                if !superseded {
                    agreed.set(extension, id);
                }
            }
            let negotiated = !answered.rejected
                && direction.sends()
                && answered.direction.receives()
                && !accepted.is_empty();
            state.set_codecs(accepted, agreed);
            state.flow.negotiated = negotiated;
        }
        let role = if answer.setup == Setup::Passive { Role::Client } else { Role::Server };
        self.begin_dtls(now, key, role);
        // Before the path is open they do nothing; it starts them again.
        self.start_all(key);
        Ok(())
    }
}
