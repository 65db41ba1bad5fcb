//! Admission to a room.

use std::sync::Arc;

use super::power::may_be_host;
use super::{Fact, Member, Power, Room, Standing, settings::checked_metadata};
use crate::message::{Json, LeaveReason, Name, Role, TopologyChoice};
use crate::{Code, Digest, PeerId, Refusal, SessionId, Signed, Timestamp, TokenDigests};

/// A request to enter a room, with the identity and credentials of the future peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// When the request arrived, by the wall clock.
    pub at: Timestamp,
    /// The id that the peer will have.
    pub peer: PeerId,
    /// The session of the peer.
    pub session: SessionId,
    /// The display name.
    pub name: Name,
    /// The requested role.
    pub role: Role,
    /// Metadata that every peer sees.
    pub metadata: Option<Json>,
    /// What the signer of the join token asserts about the peer.
    pub signed: Option<Signed>,
    /// Digest of the client's own secret, which identifies the client across joins.
    pub client: Option<Digest>,
    /// Digests of the join token.
    pub token: Option<TokenDigests>,
    /// The password that the client gave.
    pub password: Option<String>,
    /// Whether the peer is new, and what it presents.
    pub arrival: Arrival,
    /// The terms of a WHIP or WHEP session.
    pub media: Option<MediaTerms>,
}

/// The terms of a WHIP or WHEP client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaTerms {
    /// The publisher that it wants to watch, if it names one.
    pub publisher: Option<PeerId>,
    /// The defect of its offer. Reported only after every admission check has passed.
    pub flaw: Option<Refusal>,
}

/// Whether the future peer is new to the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It joins.
    New(Pass),
    /// Its session is from before a server restart, or from before another node took the room over.
    Returning {
        /// The host's power that it had.
        power: Power,
        /// Whether it was still in the lobby.
        waiting: bool,
        /// When it joined, by the wall clock.
        joined_at: Timestamp,
        /// The id of the entry that first brought it in.
        order: u64,
    },
}

/// Which admission checks a request to enter passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pass {
    /// None: every check applies.
    #[default]
    None,
    /// Lock, password and lobby: a join token, or a client that comes back.
    Admitted,
    /// With a host's power: also the capacity limit and a meeting's start time.
    Host,
}

impl Room {
    pub(super) fn decide_join(&self, now: Timestamp, admission: Admission) -> Result<Vec<Fact>, Refusal> {
        let pass = self.pass(now, &admission);
        let replaced = self.replaced_by(&admission);
        self.check_admission(&admission, pass, replaced)?;
        let may_wait = match admission.arrival {
            Arrival::New(_) => pass == Pass::None,
            Arrival::Returning { waiting, .. } => waiting,
        };
        let waits = may_wait && (self.state.settings.lobby || self.waits_for_host());
        if let Some(terms) = &admission.media {
            self.check_terms(terms, waits)?;
        }
        let media_only = admission.media.is_some();
        let power = match admission.arrival {
            _ if !may_be_host(admission.role, media_only) => Power::None,
            Arrival::Returning { power, .. } => power,
            Arrival::New(_) if pass == Pass::Host || (!waits && self.awaits_first_host()) => Power::Appointed,
            Arrival::New(_) => Power::None,
        };
        let (joined_at, order) = match admission.arrival {
            Arrival::New(_) => (admission.at, 0),
            Arrival::Returning { joined_at, order, .. } => (joined_at, order),
        };
        let signed_metadata = admission.signed.as_ref().and_then(|signed| signed.metadata.clone());
        let metadata = checked_metadata(signed_metadata.or(admission.metadata), &self.rules.limits)?;
        let mut facts =
            replaced.map(|replaced| self.left(replaced.id, LeaveReason::Replaced)).unwrap_or_default();
        facts.push(Fact::Joined(Box::new(Member {
            id: admission.peer,
            session: admission.session,
            name: admission.name,
            role: admission.role,
            standing: if waits { Standing::Waiting } else { Standing::Joined },
            power,
            client: admission.client,
            token: admission.token,
            joined_at,
            order,
            microphone: false,
            camera: false,
            screen: false,
            hand: false,
            metadata,
            signed: admission.signed,
            tracks: Arc::new([]),
            flowing: false,
            muted: false,
            away: false,
            media_only,
        })));
        Ok(facts)
    }

    /// Which admission checks the future peer passes. A returning session has passed them all before.
    pub(crate) fn pass(&self, now: Timestamp, admission: &Admission) -> Pass {
        match admission.arrival {
            Arrival::New(Pass::None) if self.comes_back(now, admission) => Pass::Admitted,
            Arrival::New(pass) => pass,
            Arrival::Returning { .. } => Pass::Host,
        }
    }

    /// Checks what the room requires of a future peer, which would take the place of `replaced`.
    fn check_admission(
        &self,
        admission: &Admission,
        pass: Pass,
        replaced: Option<&Member>,
    ) -> Result<(), Refusal> {
        let state = &self.state;
        if self.is_barred(admission) {
            return Err(Refusal::new(Code::Forbidden, "a host has removed you from this room"));
        }
        let starts_at = state.meeting.and_then(|meeting| meeting.starts_at);
        if let Some(starts_at) = starts_at.filter(|starts_at| pass != Pass::Host && *starts_at > admission.at)
        {
            return Err(Refusal::not_started(starts_at));
        }
        if pass == Pass::None && state.settings.locked {
            return Err(Refusal::new(Code::RoomLocked, "the room is locked"));
        }
        if pass == Pass::None
            && let Some(expected) = state.settings.password
            && admission.password.as_deref().map(|given| self.digest_password(given)) != Some(expected)
        {
            return Err(Refusal::new(Code::WrongPassword, "the room has another password"));
        }
        if pass != Pass::Host && state.members.len() - usize::from(replaced.is_some()) >= state.capacity {
            return Err(Refusal::new(Code::RoomFull, "the room is full"));
        }
        if admission.role != Role::Participant && (state.choice == TopologyChoice::Mesh || !self.rules.sfu) {
            let why = "there is no broadcast in a room that is peer to peer";
            return Err(Refusal::new(Code::InvalidState, why));
        }
        Ok(())
    }

    /// The present peer that the newcomer replaces.
    fn replaced_by(&self, admission: &Admission) -> Option<&Member> {
        self.members().find(|member| {
            member.id == admission.peer || (member.client.is_some() && member.client == admission.client)
        })
    }

    /// Whether the newcomer's client was admitted before and is still in the room, or left moments ago to return.
    fn comes_back(&self, now: Timestamp, admission: &Admission) -> bool {
        let awaited = admission.client.and_then(|client| self.state.awaited.get(&client));
        self.replaced_by(admission).is_some_and(Member::is_joined)
            || awaited.is_some_and(|until| *until > now)
    }

    /// The fact that lets a leaving peer's client in again past lock, password and lobby, for the resume window.
    pub(super) fn return_awaited(&self, now: Timestamp, peer: PeerId) -> Option<Fact> {
        let until = now + self.rules.limits.resume_window;
        let client = self.member(peer).filter(|member| member.is_joined())?.client?;
        Some(Fact::ReturnAwaited { client, until })
    }

    fn is_barred(&self, admission: &Admission) -> bool {
        let state = &self.state;
        let mut tokens = admission.token.into_iter().flat_map(TokenDigests::all);
        state.barred_sessions.contains(&admission.session)
            || admission.client.is_some_and(|client| state.barred_clients.contains(&client))
            || tokens.any(|token| state.barred_tokens.contains(&token))
    }

    /// Whether newcomers wait for a host, whose arrival admits them.
    pub(super) fn waits_for_host(&self) -> bool {
        let waits = self.state.meeting.is_some_and(|meeting| meeting.wait_for_host);
        waits && !self.joined().any(Member::is_host)
    }

    fn check_terms(&self, terms: &MediaTerms, waits: bool) -> Result<(), Refusal> {
        if waits {
            return Err(Refusal::new(
                Code::Forbidden,
                "the room has a lobby: show a join token or the room's host token",
            ));
        }
        let here = |peer| self.member(peer).is_some_and(Member::is_joined);
        if terms.publisher.is_some_and(|peer| !here(peer)) {
            return Err(super::nobody());
        }
        terms.flaw.clone().map_or(Ok(()), Err)
    }
}
