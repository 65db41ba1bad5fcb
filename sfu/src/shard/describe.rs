//! Writes the descriptions of connections: answers, offers and fragments.

use std::fmt::Write as _;
use std::net::SocketAddr;

use signaling_core::HttpAnswer;

use super::{NegotiationError, Shard};
use crate::dtls::Role;
use crate::keys::TransportKey;
use crate::sdp::{LocalDescription, Setup, candidate_lines};
use crate::transport::{Section, Transport};

impl Shard {
    /// Writes a transport's credentials and candidates as an SDP fragment (RFC 8840).
    pub(super) fn fragment(&self, key: TransportKey) -> Option<HttpAnswer> {
        let transport = self.connections.get(key)?;
        let credentials = transport.ice.credentials()?;
        let first = transport.sections.first().map(Section::local);
        let (kind, mid) = first.map(|local| (local.kind.as_str(), local.mid.as_str())).unwrap_or_default();
        let mut sdp = format!("a=ice-lite\r\nm={kind} 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n");
        let _ = write!(sdp, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", credentials.ufrag, credentials.password);
        sdp.extend(candidate_lines(&self.candidates(transport), self.config.tcp_port));
        sdp.push_str("a=end-of-candidates\r\n");
        Some(HttpAnswer { sdp, ice_session: credentials.ufrag.clone() })
    }

    pub(super) fn answer(&mut self, key: TransportKey, role: Role) -> Result<HttpAnswer, NegotiationError> {
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
            tcp_port: self.config.tcp_port,
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
