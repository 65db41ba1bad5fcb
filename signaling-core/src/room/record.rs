//! The part of a room that outlives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EndedSessions, Power, RoomState, Settings};
use crate::message::TopologyChoice;
use crate::{Digest, LifeId, RoomId, ServerKey, SessionId, Timestamp};

/// What a [`RoomStore`](crate::RoomStore) keeps of a room: its settings, not its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRecord {
    /// The room's id.
    pub room: RoomId,
    /// Its name, if the id does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The title of its meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Arc<str>>,
    /// The id of this life of the room.
    pub life: LifeId,
    /// When that life began.
    pub created_at: Timestamp,
    /// When it is planned to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// The topology that it was made with.
    pub topology: TopologyChoice,
    /// The capacity, if not the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<usize>,
    /// How long it lives without peers, if not the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_timeout_seconds: Option<u64>,
    /// The terms of its meeting, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting: Option<MeetingTerms>,
    /// The settings that a host controls.
    pub settings: Settings,
    /// Whether any peer has ever entered.
    pub entered: bool,
    /// Whether a host has ever entered.
    pub had_host: bool,
    /// Whether the first eligible peer becomes host and gets the host token. Otherwise only a token gives a host's
    /// powers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_is_host: bool,
    /// Powers that have changed since the session's secret was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub powers: BTreeMap<SessionId, Power>,
    /// Ended sessions.
    #[serde(default, skip_serializing_if = "EndedSessions::is_empty")]
    pub ended_sessions: EndedSessions,
    /// Sessions of kicked peers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred_sessions: BTreeSet<SessionId>,
    /// Clients of kicked peers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred_clients: BTreeSet<Digest>,
    /// Join tokens of kicked peers: digests of their ids, subjects or texts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred_tokens: BTreeSet<Digest>,
    /// When the room ended. From then on, its name cannot be reused for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// Rules for the room of a meeting. Its host has no successor: the power comes from the host token or from another
/// host. The room expires when it has been empty for long enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeetingTerms {
    /// Only hosts may enter before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// Other peers wait as in a lobby while no host is in the room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wait_for_host: bool,
}

impl RoomRecord {
    /// The record of a room that does not exist yet.
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

    /// Records that a session has ended, so that its secret is invalid.
    pub fn end_session(&mut self, session: SessionId) {
        self.ended_sessions.insert(session);
    }

    /// Sets or removes the password that newcomers must give.
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
