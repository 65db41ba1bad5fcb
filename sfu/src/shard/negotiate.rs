//! The parts of negotiation that publishers and WHEP players share.

use std::collections::HashSet;
use std::net::IpAddr;

use signaling_core::{HttpPatch, Patched};

use super::{NegotiationError, Shard};
use crate::codec::{Codec, MediaKind};
use crate::dtls::Role;
use crate::keys::{PeerKey, TransportKey};
use crate::sdp::{
    Extension, ExtensionMap, Feedback, OfferedCodec, RemoteDescription, RemoteFragment, RemoteSection,
    SdpError, Setup, WrittenCodec,
};
use crate::time::Micros;
use crate::transport::{Purpose, Section};

/// Maximum number of codecs accepted for one section, in the client's order: keeps an answer below 8 KiB.
const MAX_CODECS: usize = 10;

impl Shard {
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
    pub(super) fn transport_for(
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
            let is_same = transport.dtls.fingerprint() == Some(offer.fingerprint);
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
}

/// Our DTLS role in an answer: server, unless the client asks to be the server.
pub(super) fn answering_role(offer: &RemoteDescription) -> Role {
    if offer.setup == Setup::Passive { Role::Client } else { Role::Server }
}

pub(super) fn is_usable(section: &RemoteSection) -> bool {
    !section.rejected && section.kind.is_some() && !section.codecs.is_empty()
}

/// The codecs of an answer: all known ones, with the feedback that both sides support. Each profile of
/// a codec is accepted once.
pub(super) fn negotiated_codecs(offered: &[OfferedCodec]) -> Vec<WrittenCodec> {
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

pub(super) fn supported(offered: &ExtensionMap, kind: MediaKind) -> ExtensionMap {
    let mut map = ExtensionMap::default();
    let has_transport_sequence = offered.id(Extension::TransportSequence).is_some();
    for (extension, id) in offered.iter().filter(|(extension, _)| extension.fits(kind)) {
        if !(extension == Extension::AbsSendTime && has_transport_sequence) {
            map.set(extension, id);
        }
    }
    map
}
