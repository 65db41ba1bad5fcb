//! What of a room outlives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EndedSessions, Power, RoomState, Settings};
use crate::message::TopologyChoice;
use crate::{Digest, LifeId, RoomId, ServerKey, SessionId, Timestamp};

/// What a [`RoomStore`](crate::RoomStore) keeps of a room: its settings, not who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRecord {
    /// The room's id.
    pub room: RoomId,
    /// Its name, where the id does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// What the meeting is called that it was arranged for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Arc<str>>,
    /// Which life of it.
    pub life: LifeId,
    /// When that life began.
    pub created_at: Timestamp,
    /// When it is planned to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// What it was made as.
    pub topology: TopologyChoice,
    /// How many may be in it, if fewer than the server allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<usize>,
    /// How long it lives without anybody, if not as long as the server's rooms do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_timeout_seconds: Option<u64>,
    /// What it goes by when it was arranged for a meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting: Option<MeetingTerms>,
    /// What a host has set.
    pub settings: Settings,
    /// Whether anybody has ever been in.
    pub entered: bool,
    /// Whether a host has ever been in.
    pub had_host: bool,
    /// Whether the first who can be host is, and gets the host token; else that power comes from a token alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_is_host: bool,
    /// Powers of sessions that are others than when their secrets were made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub powers: BTreeMap<SessionId, Power>,
    /// Sessions that are over.
    #[serde(default, skip_serializing_if = "EndedSessions::is_empty")]
    pub ended_sessions: EndedSessions,
    /// Sessions of those who were kicked.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred_sessions: BTreeSet<SessionId>,
    /// Clients of those who were kicked.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred_clients: BTreeSet<Digest>,
    /// Join tokens of those who were kicked: their ids, subjects or texts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred_tokens: BTreeSet<Digest>,
    /// When the room ended; its name rests from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// What a room goes by that was arranged for a meeting. Nobody succeeds its host: that power comes from the host token
/// or from somebody who has it. When all have left for long enough, it ends as expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeetingTerms {
    /// Before then it takes in hosts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// While no host is there, others wait as in a lobby.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wait_for_host: bool,
}

impl RoomRecord {
    /// A room that is yet to be made.
    pub fn new(room: RoomId, life: LifeId, created_at: Timestamp, topology: TopologyChoice) -> Self {
        Self {
            room,
            name: None,
            title: None,
            life,
            created_at,
            ends_at: None,
            topology,
            capacity: None,
            empty_timeout_seconds: None,
            meeting: None,
            settings: Settings::default(),
            entered: false,
            had_host: false,
            first_is_host: false,
            powers: BTreeMap::new(),
            ended_sessions: EndedSessions::default(),
            barred_sessions: BTreeSet::new(),
            barred_clients: BTreeSet::new(),
            barred_tokens: BTreeSet::new(),
            ended_at: None,
        }
    }

    /// Notes that a session is over, and its secret opens nothing any more.
    pub fn end_session(&mut self, session: SessionId) {
        self.ended_sessions.insert(session);
    }

    /// Sets the password that newcomers give, or that they need none.
    pub fn set_password(&mut self, key: &ServerKey, password: Option<&str>) {
        self.settings.password =
            password.map(|password| key.digest("password", [self.life.as_str(), password]));
    }

    pub(super) fn of(state: &RoomState) -> Self {
        Self {
            room: state.id.clone(),
            name: state.name.clone(),
            title: state.title.clone(),
            life: state.life,
            created_at: state.created_at,
            ends_at: state.ends_at,
            topology: state.choice,
            capacity: Some(state.capacity),
            empty_timeout_seconds: Some(state.empty_timeout.as_secs()),
            meeting: state.meeting,
            settings: state.settings.clone(),
            entered: state.entered,
            had_host: state.had_host,
            first_is_host: state.first_is_host,
            powers: state.powers.clone(),
            ended_sessions: state.ended_sessions.clone(),
            barred_sessions: state.barred_sessions.clone(),
            barred_clients: state.barred_clients.clone(),
            barred_tokens: state.barred_tokens.clone(),
            ended_at: None,
        }
    }
}
