//! Representations of meetings in the HTTP interface.

use serde::Serialize;
use signaling_core::{ServerKey, Timestamp};
use utoipa::ToSchema;

use crate::meeting::{Attendee, Meeting, State, Way};

/// A meeting, for who has booked it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Meeting)]
pub(crate) struct MeetingView {
    /// Its id.
    meeting: String,
    /// The room where it takes place.
    room: String,
    /// What people type to come in.
    code: String,
    /// What people open to come in.
    join_url: String,
    /// The same with the host token in its fragment, for who may change the meeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    host_url: Option<String>,
    title: String,
    /// When the present occurrence begins.
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    /// When it is planned to end; nobody is thrown out.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    time_zone: String,
    duration_minutes: u32,
    state: State,
    capacity: Option<u32>,
    lobby: bool,
    wait_for_host: bool,
    has_password: bool,
    empty_timeout_seconds: u32,
    recurrence: Option<String>,
    attendees: Vec<Attendee>,
    /// What each of them comes in by, for who may change the meeting: good for as long as the address is among `attendees`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, nullable = false)]
    invitations: Vec<OwnWayView>,
    webhook_url: Option<String>,
    /// What webhooks are signed with, told once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    webhook_secret: Option<String>,
    sequence: u32,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl MeetingView {
    /// The meeting under this origin; with the host token, made with `host`, for its organiser.
    pub(crate) fn new(meeting: &Meeting, origin: &str, now: Timestamp, host: Option<&ServerKey>) -> Self {
        let join_url = meeting.way().url(meeting, origin);
        let invitations = host.map(|_| OwnWayView::all(meeting, origin)).unwrap_or_default();
        let host_url = host.map(|key| format!("{join_url}#host={}", meeting.host_token(key)));
        Self {
            meeting: meeting.id.to_string(),
            room: meeting.room.to_string(),
            code: meeting.code.0.to_string(),
            join_url,
            host_url,
            title: meeting.title.clone(),
            starts_at: meeting.starts_at,
            ends_at: meeting.ends_at(),
            time_zone: meeting.time_zone.clone(),
            duration_minutes: meeting.duration_minutes,
            state: meeting.state(now),
            capacity: meeting.capacity,
            lobby: meeting.lobby,
            wait_for_host: meeting.wait_for_host,
            has_password: meeting.password.is_some(),
            empty_timeout_seconds: meeting.empty_timeout_seconds,
            recurrence: meeting.recurrence.as_ref().map(ToString::to_string),
            attendees: meeting.attendees.clone(),
            invitations,
            webhook_url: meeting.webhook_url.clone(),
            webhook_secret: None,
            sequence: meeting.sequence,
            created_at: meeting.created_at,
            updated_at: meeting.updated_at,
        }
    }

    pub(crate) fn with_secret(mut self, secret: Option<String>) -> Self {
        self.webhook_secret = secret;
        self
    }
}

/// The way in of one invited address.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AttendeeInvitation)]
pub(crate) struct OwnWayView {
    email: String,
    /// What its owner types to come in.
    code: String,
    /// What its owner opens to come in.
    join_url: String,
}

impl OwnWayView {
    fn all(meeting: &Meeting, origin: &str) -> Vec<Self> {
        let view = |invitation: &crate::meeting::Invitation| Self {
            email: invitation.email.clone(),
            code: invitation.code.0.to_string(),
            join_url: invitation.way().url(meeting, origin),
        };
        meeting.invitations.iter().map(view).collect()
    }
}

/// What a meeting's page needs, and what everybody may know who has its id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invitation)]
pub(crate) struct InvitationView {
    meeting: String,
    code: String,
    join_url: String,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    /// Whether it was given a time; else it is open from its making on.
    has_time: bool,
    time_zone: String,
    state: State,
    has_password: bool,
    lobby: bool,
    wait_for_host: bool,
    recurrence: Option<String>,
    /// The server's clock, for countdowns.
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
}

impl InvitationView {
    /// The meeting for who has come by `way`.
    pub(crate) fn new(meeting: &Meeting, way: Way, origin: &str, now: Timestamp) -> Self {
        Self {
            meeting: way.id.to_string(),
            code: way.code.to_string(),
            join_url: way.url(meeting, origin),
            title: meeting.title.clone(),
            starts_at: meeting.starts_at,
            ends_at: meeting.ends_at(),
            has_time: meeting.has_time,
            time_zone: meeting.time_zone.clone(),
            state: meeting.state(now),
            has_password: meeting.password.is_some(),
            lobby: meeting.lobby,
            wait_for_host: meeting.wait_for_host,
            recurrence: meeting.recurrence.as_ref().map(ToString::to_string),
            now,
        }
    }
}
