//! Offers to subscribers: one outstanding at a time, with changes merged, each with a number.
//!
//! A track has a section of its own; the section of a track that has ended is used again for the next one. In between it
//! is described by the little that an m-line must have. So the description is as large as the room needs.
//!
//! Every offer contains all sections, so in a large room a newcomer costs everybody much. There, the changes of some time
//! are offered together, each subscriber at a random time of its own: the work is spread over that time.

use std::collections::HashSet;

use rand::Rng;
use signaling_core::MediaEvent;
use signaling_core::message::{QualityReason, SubscribeTrack};

use super::Shard;
use crate::codec::{Codec, MediaKind};
use crate::dtls::Role;
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey, TransportKey};
use crate::sdp::{
    Direction, ExtensionMap, Feedback, LocalSection, MAX_SECTIONS, Msid, RemoteDescription, SdpError,
    SectionState, Setup, WrittenCodec,
};
use crate::subscription::FULL_QUALITY;
use crate::time::Micros;
use crate::transport::{Purpose, Section};

/// A description of up to so many sections, those of eight other people, is offered at once.
const PROMPT_SECTIONS: usize = 16;
/// The time for which changes are collected, for each further section: about a second for a hundred people.
const WAIT_MICROS: u64 = 5_000;

impl Shard {
    /// Updates the sections of all peers that need it and sends the offers that are due.
    pub(super) fn negotiate_pending(&mut self, now: Micros) {
        while let Some(key) = self.renegotiate.pop() {
            let Some(peer) = self.rooms.peer(key).filter(|peer| peer.served_by == self.index) else {
                continue;
            };
            if peer.http.is_some() {
                self.fill_player(now, key);
            } else if self.may_offer(now, key) && self.update_sections(now, key) {
                self.offer(key);
            }
        }
    }

    /// Whether the sections of a peer may be changed and offered now.
    fn may_offer(&mut self, now: Micros, key: PeerKey) -> bool {
        let Some(key) = self.rooms.peer(key).and_then(|peer| peer.subscribe) else { return true };
        let Some(transport) = self.connections.get_mut(key) else { return true };
        let longest = transport.sections.len().saturating_sub(PROMPT_SECTIONS) as u64 * WAIT_MICROS;
        let wait = if longest == 0 { 0 } else { 1 + self.rng.next_u64() % longest };
        let is_open = transport.negotiation.is_open(now, wait);
        if let Some(due) = transport.negotiation.due {
            self.connections.schedule(key, due);
        }
        is_open
    }

    /// Offers the changes that have been collected for long enough, and returns the time at which they will be.
    pub(super) fn offer_collected(&mut self, now: Micros, key: TransportKey) -> Option<Micros> {
        let transport = self.connections.get(key)?;
        let due = transport.negotiation.due?;
        if due <= now {
            self.renegotiate.push(transport.peer);
            return None;
        }
        Some(due)
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
        let sent: HashSet<_> = sections.iter().filter_map(|section| self.tracks.sent_in(*section)).collect();
        let mut unserved = Vec::new();
        for publication in wanted.iter().filter(|wanted| !sent.contains(wanted)) {
            if self.add_section(now, key, transport, *publication) {
                changed = true;
            } else {
                unserved.push(*publication);
            }
        }
        self.tell_unserved(key, transport, &unserved);
        let count = self.connections.get(transport).map_or(0, |transport| transport.sections.len());
        for at in 0..count {
            changed |= self.refresh_section(transport, at);
        }
        let is_stale = self.connections.get(transport).is_some_and(|state| state.negotiation.stale);
        changed || is_stale
    }

    /// Tells a subscriber for which tracks the server has no section, and for which it has one again.
    fn tell_unserved(&mut self, key: PeerKey, transport: TransportKey, unserved: &[PublicationKey]) {
        let Some(state) = self.connections.get_mut(transport) else { return };
        let before = std::mem::replace(&mut state.unserved, unserved.to_vec());
        let to = self.rooms.peer(key).map(|peer| peer.id);
        let lost = unserved.iter().filter(|track| !before.contains(track));
        let found = before.iter().filter(|track| !unserved.contains(track));
        let lost = lost.map(|track| (*track, 0, Some(QualityReason::Server)));
        for (track, level, reason) in lost.chain(found.map(|track| (*track, FULL_QUALITY, None))) {
            let Some(track) = self.tracks.publication(track) else { continue };
            let (publisher, track) = (track.peer, Some(track.id.clone()));
            self.tell(publisher, |peer| MediaEvent::Quality { peer, level, track, layer: None, reason, to });
        }
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
        let attention = self.rooms.peer(peer).and_then(|peer| peer.attention.get(&id)).copied();
        if let Some(state) = self.tracks.subscription_mut(subscription) {
            state.attend(&attention.unwrap_or_default());
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
        let SectionState::Active { direction: old_direction, codecs, extensions, msid: old_msid, .. } =
            &mut local.state
        else {
            return false;
        };
        let new_codecs = if new_codecs.is_empty() { least_codecs(codecs) } else { new_codecs };
        if direction == Direction::Inactive {
            *extensions = ExtensionMap::default();
        }
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
        let mut codecs: Vec<_> = publication
            .codecs
            .iter()
            .filter(|written| is_written(written.codec))
            .filter_map(|written| state.payload_types.written(written.codec, &written.fmtp))
            .collect();
        // The publisher's preference says nothing to a receiver, and a change of it must not cost an offer to each of them.
        codecs.sort_unstable_by_key(|codec| codec.payload_type);
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
        state.negotiation.has_news = false;
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
            let room = self.rooms.peer(key).map(|peer| peer.room.to_string());
            self.tell(key, |peer| {
                tracing::info!(room, %peer, %error, "subscribe answer refused");
                MediaEvent::Failed { peer }
            });
            return;
        }
        if let Some(state) = self.connections.get_mut(transport) {
            state.negotiation.outstanding = false;
            if state.negotiation.has_news || state.negotiation.stale {
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

/// The codec of a section without a track, in the fewest lines: an m-line names at least one format.
fn least_codecs(codecs: &[WrittenCodec]) -> Vec<WrittenCodec> {
    let first = codecs.iter().find(|codec| codec.codec != Codec::Red).or(codecs.first());
    let least =
        |codec: &WrittenCodec| WrittenCodec { rtx: None, feedback: Feedback::default(), ..codec.clone() };
    first.map(least).into_iter().collect()
}
