//! Offers to subscribers: one outstanding at a time, with changes merged, each with a number.

use signaling_core::MediaEvent;
use signaling_core::message::SubscribeTrack;

use super::Shard;
use crate::codec::{Codec, MediaKind};
use crate::dtls::Role;
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey, TransportKey};
use crate::sdp::{
    Direction, ExtensionMap, LocalSection, MAX_SECTIONS, Msid, RemoteDescription, SdpError, SectionState,
    Setup, WrittenCodec,
};
use crate::time::Micros;
use crate::transport::{Purpose, Section};

impl Shard {
    /// Updates the sections of all peers that need it and sends the offers that are due.
    pub(super) fn negotiate_pending(&mut self, now: Micros) {
        while let Some(key) = self.renegotiate.pop() {
            let Some(peer) = self.rooms.peer(key).filter(|peer| peer.served_by == self.index) else {
                continue;
            };
            if peer.http.is_some() {
                self.fill_player(now, key);
            } else if self.update_sections(now, key) {
                self.offer(key);
            }
        }
    }

    /// Adds sections for tracks that the peer should receive and clears those whose tracks are gone. Returns
    /// whether an offer is due now.
    fn update_sections(&mut self, now: Micros, key: PeerKey) -> bool {
        let wanted: Vec<_> =
            self.rooms.others(key).flat_map(|other| self.rooms.publications(other)).collect();
        let Some(peer) = self.rooms.peer(key) else { return false };
        let transport = match peer.subscribe {
            Some(transport) => transport,
            None if wanted.is_empty() => return false,
            None => self.open_transport(now, key, Purpose::Subscribe, None, String::new()),
        };
        let mut changed = false;
        let sections = self.connections.sends(transport);
        let sent: Vec<_> = sections.iter().filter_map(|section| self.tracks.sent_in(*section)).collect();
        for publication in wanted.iter().filter(|wanted| !sent.contains(wanted)) {
            changed |= self.add_section(now, key, transport, *publication);
        }
        let count = self.connections.get(transport).map_or(0, |transport| transport.sections.len());
        for at in 0..count {
            changed |= self.refresh_section(transport, at);
        }
        let Some(state) = self.connections.get_mut(transport) else { return false };
        state.negotiation.stale |= changed;
        state.negotiation.stale && !state.negotiation.outstanding
    }

    /// Puts a track into a free section, or into a new one.
    fn add_section(
        &mut self,
        now: Micros,
        peer: PeerKey,
        transport: TransportKey,
        publication: PublicationKey,
    ) -> bool {
        let Some(track) = self.tracks.publication(publication) else { return false };
        let (kind, id) = (track.kind, track.id.clone());
        let Some(state) = self.connections.get(transport) else { return false };
        let is_free = |section: &Section| {
            let subscription = section.sends().and_then(|key| self.tracks.subscription(key));
            subscription.is_some_and(|it| it.publication.is_none() && it.kind == kind)
        };
        let at = state.sections.iter().position(is_free).unwrap_or(state.sections.len());
        if at >= MAX_SECTIONS {
            return false;
        }
        let free = state.sections.get(at);
        let mid = free.map_or_else(|| at.to_string(), |section| section.local().mid.clone());
        // The new track gets a new SSRC, so that no packet of the old track is mistaken for one of the new.
        if let Some(old) = free.and_then(Section::sends) {
            self.tracks.unsubscribe(old);
        }
        let subscription = self.subscribe_section(transport, mid.clone(), kind);
        let wanted = self.rooms.peer(peer).is_none_or(|peer| peer.wants(&id));
        if let Some(state) = self.tracks.subscription_mut(subscription) {
            state.flow.wanted = wanted;
        }
        let state = SectionState::Active {
            direction: Direction::Inactive,
            codecs: Vec::new(),
            extensions: ExtensionMap::offered(kind),
            msid: None,
            rids: Vec::new(),
        };
        let section = Section::Send { subscription, local: LocalSection { mid, kind, state } };
        self.set_section(transport, at, section);
        self.attach(now, subscription, publication);
        true
    }

    /// Updates the description of a section; returns whether it has changed.
    fn refresh_section(&mut self, transport: TransportKey, at: usize) -> bool {
        let Some(key) = self.section(transport, at).and_then(Section::sends) else { return false };
        let (direction, new_codecs, msid) = self
            .sent_section(transport, key)
            .map_or((Direction::Inactive, Vec::new(), None), |(codecs, msid)| {
                (Direction::SendOnly, codecs, Some(msid))
            });
        let Some(Section::Send { local, .. }) =
            self.connections.get_mut(transport).and_then(|transport| transport.sections.get_mut(at))
        else {
            return false;
        };
        let SectionState::Active { direction: old_direction, codecs, msid: old_msid, .. } = &mut local.state
        else {
            return false;
        };
        // An m-line names formats even while it is inactive, so the previous ones are kept.
        let new_codecs = if new_codecs.is_empty() { codecs.clone() } else { new_codecs };
        let changed = *old_direction != direction || *codecs != new_codecs || *old_msid != msid;
        (*old_direction, *codecs, *old_msid) = (direction, new_codecs, msid);
        changed
    }

    /// The codecs and the `msid` of the track in a section.
    fn sent_section(
        &mut self,
        transport: TransportKey,
        key: SubscriptionKey,
    ) -> Option<(Vec<WrittenCodec>, Msid)> {
        let subscription = self.tracks.subscription(key)?;
        let publication = self.tracks.publication(subscription.publication?)?;
        let stream = self.rooms.peer(publication.peer)?.id.to_string();
        let state = self.connections.get_mut(transport)?;
        let is_written = |codec: Codec| codec == publication.codec || subscription.kind == MediaKind::Audio;
        let codecs: Vec<_> = publication
            .codecs
            .iter()
            .filter(|written| is_written(written.codec))
            .filter_map(|written| state.payload_types.written(written.codec, &written.fmtp))
            .collect();
        let has_rtx = codecs.iter().any(|codec| codec.rtx.is_some());
        let msid = Msid {
            stream,
            track: publication.id.to_string(),
            ssrc: subscription.ssrc,
            rtx_ssrc: has_rtx.then_some(subscription.rtx_ssrc),
        };
        Some((codecs, msid))
    }

    /// Sends the next offer.
    fn offer(&mut self, key: PeerKey) {
        let Some(transport) = self.rooms.peer(key).and_then(|peer| peer.subscribe) else { return };
        let Some(state) = self.connections.get_mut(transport) else { return };
        state.negotiation.number += 1;
        state.negotiation.outstanding = true;
        state.negotiation.stale = false;
        let negotiation = state.negotiation.number;
        // After the handshake the DTLS roles stay the same (RFC 8842 section 5.5).
        let Some(sdp) = self.describe(transport, Setup::ActPass) else { return };
        let tracks = self.offered_tracks(transport);
        self.tell(key, |peer| MediaEvent::Offer { peer, sdp, negotiation, tracks });
    }

    fn offered_tracks(&self, transport: TransportKey) -> Vec<SubscribeTrack> {
        let sections = self.connections.sends(transport).into_iter();
        sections
            .filter_map(|section| {
                let subscription = self.tracks.subscription(section)?;
                let publication = self.tracks.publication(subscription.publication?)?;
                Some(SubscribeTrack {
                    mid: subscription.mid.clone(),
                    track: publication.id.to_string(),
                    peer: self.rooms.peer(publication.peer)?.id,
                })
            })
            .collect()
    }

    /// Makes the outstanding offer again, since it may have been lost.
    pub(super) fn resend(&mut self, key: PeerKey) {
        let subscribe = self.rooms.peer(key).and_then(|peer| peer.subscribe);
        let transport = subscribe.and_then(|transport| self.connections.get_mut(transport));
        if transport.as_ref().is_some_and(|transport| transport.sections.is_empty()) {
            return;
        }
        // A new offer rather than a copy, so that it includes the changes made in the meantime.
        if let Some(transport) = transport {
            transport.negotiation.renew();
        }
        self.renegotiate.push(key);
    }

    /// Restarts ICE on the subscribing connection at the client's request, or opens a connection if there is none.
    pub(super) fn restart_ice(&mut self, key: PeerKey) {
        if let Some(transport) = self.rooms.peer(key).and_then(|peer| peer.subscribe) {
            let fresh = self.fresh_credentials();
            let remote = self.connections.get(transport).map(|transport| transport.ice.remote_ufrag.clone());
            self.connections.restart_ice(transport, fresh, &remote.unwrap_or_default());
            if let Some(transport) = self.connections.get_mut(transport) {
                transport.negotiation.renew();
            }
        }
        self.renegotiate.push(key);
    }

    /// Handles the answer to our offer. An answer to an older offer is dropped.
    pub(super) fn on_answer(&mut self, now: Micros, key: PeerKey, sdp: &str, negotiation: Option<u64>) {
        let Some(transport) = self.rooms.peer(key).and_then(|peer| peer.subscribe) else { return };
        let Some(state) = self.connections.get(transport) else { return };
        let is_current = negotiation.is_none_or(|number| number == state.negotiation.number);
        if !state.negotiation.outstanding || !is_current {
            return;
        }
        let answer = RemoteDescription::parse(sdp);
        if let Err(error) = answer.and_then(|answer| self.apply_answer(now, transport, &answer)) {
            self.close_transport(transport);
            self.tell(key, |peer| {
                tracing::info!(%peer, %error, "subscribe answer refused");
                MediaEvent::Failed { peer }
            });
            return;
        }
        if let Some(state) = self.connections.get_mut(transport) {
            state.negotiation.outstanding = false;
            if state.negotiation.stale {
                self.renegotiate.push(key);
            }
        }
    }

    fn apply_answer(
        &mut self,
        now: Micros,
        key: TransportKey,
        answer: &RemoteDescription,
    ) -> Result<(), SdpError> {
        let transport = self.connections.get_mut(key).ok_or(SdpError::Mismatch)?;
        let known = transport.dtls.fingerprint();
        if known.is_some_and(|known| known != answer.fingerprint) || answer.setup == Setup::ActPass {
            return Err(SdpError::Mismatch);
        }
        transport.ice.remote_ufrag.clone_from(&answer.ufrag);
        for section in &transport.sections {
            let Section::Send { subscription, local } = section else { continue };
            // A section without an answer was added after the offer to which this is the answer.
            let answered = answer.sections.iter().find(|section| section.mid == local.mid);
            if let (Some(answered), Some(state)) = (answered, self.tracks.subscription_mut(*subscription)) {
                state.accept(local, answered);
            }
        }
        let role = if answer.setup == Setup::Passive { Role::Client } else { Role::Server };
        self.start_dtls(now, key, (role, answer.fingerprint));
        // This has no effect until the path is open; the sections are started again then.
        self.select(now, key);
        self.start_all(now, key);
        Ok(())
    }
}
