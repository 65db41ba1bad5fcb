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
    /// Which admission checks the request passes.
    pub pass: Pass,
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

/// What a request to enter presents, and so which admission checks it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nothing: every check applies.
    None,
    /// Passes lock, password and lobby: a join token, or a client that comes back.
    Admitted,
    /// A host's power: also passes the capacity limit and a meeting's start time.
    Host,
    /// A session from before a server restart, or from before another node took the room over.
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

impl Room {
    pub(super) fn decide_join(&self, now: Timestamp, mut admission: Admission) -> Result<Vec<Fact>, Refusal> {
        let state = &self.state;
        if self.is_barred(&admission) {
            return Err(Refusal::new(Code::Forbidden, "a host has removed you from this room"));
        }
        if admission.pass == Pass::None && self.comes_back(now, &admission) {
            admission.pass = Pass::Admitted;
        }
        let older = self.older(&admission);
        let starts_at =
            state.meeting.and_then(|meeting| meeting.starts_at).filter(|starts_at| *starts_at > admission.at);
        if let (Some(starts_at), Pass::None | Pass::Admitted) = (starts_at, admission.pass) {
            return Err(Refusal::not_started(starts_at));
        }
        let has_pass = admission.pass != Pass::None;
        if !has_pass {
            if state.settings.locked {
                return Err(Refusal::new(Code::RoomLocked, "the room is locked"));
            }
            if let Some(expected) = state.settings.password
                && admission.password.as_deref().map(|given| self.digest_password(given)) != Some(expected)
            {
                return Err(Refusal::new(Code::WrongPassword, "the room has another password"));
            }
        }
        if let Pass::None | Pass::Admitted = admission.pass
            && self.state.members.len() - usize::from(older.is_some()) >= state.capacity
        {
            return Err(Refusal::new(Code::RoomFull, "the room is full"));
        }
        if admission.role != Role::Participant && (state.choice == TopologyChoice::Mesh || !self.rules.sfu) {
            return Err(Refusal::new(
                Code::InvalidState,
                "there is no broadcast in a room that is peer to peer",
            ));
        }
        let awaits_admission = match admission.pass {
            Pass::None => true,
            Pass::Returning { waiting, .. } => waiting,
            Pass::Admitted | Pass::Host => false,
        };
        let waits = awaits_admission && (state.settings.lobby || self.waits_for_host());
        if let Some(terms) = &admission.media {
            self.check_terms(terms, waits)?;
        }
        let media_only = admission.media.is_some();
        let mut facts = match older {
            Some(older) => self.left(older.id, LeaveReason::Replaced),
            None => Vec::new(),
        };
        let power = match admission.pass {
            _ if !may_be_host(admission.role, media_only) => Power::None,
            Pass::Host => Power::Appointed,
            Pass::Returning { power, .. } => power,
            Pass::None | Pass::Admitted if !waits && self.awaits_first_host() => Power::Appointed,
            Pass::None | Pass::Admitted => Power::None,
        };
        let (since, seniority) = match admission.pass {
            Pass::Returning { joined_at, order, .. } => (joined_at, order),
            _ => (admission.at, 0),
        };
        let signed_metadata = admission.signed.as_ref().and_then(|signed| signed.metadata.clone());
        let metadata = signed_metadata.or(admission.metadata);
        let standing = if waits { Standing::Waiting } else { Standing::Joined };
        facts.push(Fact::Joined(Box::new(Member {
            id: admission.peer,
            session: admission.session,
            name: admission.name,
            role: admission.role,
            standing,
            power,
            client: admission.client,
            token: admission.token,
            joined_at: since,
            order: seniority,
            microphone: false,
            camera: false,
            screen: false,
            hand: false,
            metadata: checked_metadata(metadata, &self.rules.limits)?,
            signed: admission.signed,
            tracks: Arc::new([]),
            flowing: false,
            muted: false,
            away: false,
            media_only,
        })));
        Ok(facts)
    }

    /// The present peer that the newcomer replaces.
    fn older(&self, admission: &Admission) -> Option<&Member> {
        self.members().find(|member| {
            member.id == admission.peer || (member.client.is_some() && member.client == admission.client)
        })
    }

    /// Whether the newcomer's client was admitted before and is still in the room, or left moments ago to return.
    pub(crate) fn comes_back(&self, now: Timestamp, admission: &Admission) -> bool {
        let awaited = admission.client.and_then(|client| self.state.awaited.get(&client));
        self.older(admission).is_some_and(Member::is_joined) || awaited.is_some_and(|until| *until > now)
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
