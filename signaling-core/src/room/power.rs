//! Hosts' powers, and their succession when hosts come and go.

use serde::{Deserialize, Serialize};

use super::{Fact, Member, Room};
use crate::message::Role;
use crate::{PeerId, Timestamp};

/// The host's power that a peer has, and how long it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// No power.
    #[default]
    None,
    /// While no appointed host is in the room: held by a host's successor, or by a peer that an acting host promoted.
    Acting,
    /// Lasting: held by the first eligible peer, by the bearer of a token, or by a peer that an appointed host
    /// promoted.
    Appointed,
}

impl Member {
    /// Whether it has a host's powers.
    pub fn is_host(&self) -> bool {
        self.power != Power::None
    }

    /// Whether it is eligible as host: viewers and media-only sessions are not.
    pub(super) fn may_be_host(&self) -> bool {
        may_be_host(self.role, self.media_only)
    }
}

/// Whether a peer with these properties is eligible as host.
pub(super) fn may_be_host(role: Role, media_only: bool) -> bool {
    role != Role::Viewer && !media_only
}

impl Room {
    /// The host that the room announces: an appointed one before an acting one, then the most senior.
    pub(super) fn host(&self) -> Option<PeerId> {
        let hosts = self.joined().filter(|member| member.is_host());
        hosts.min_by_key(|member| (member.power != Power::Appointed, member.order)).map(|host| host.id)
    }

    /// Whether the next eligible peer to enter becomes host.
    pub(crate) fn awaits_first_host(&self) -> bool {
        self.state.first_is_host && !self.state.had_host
    }

    /// Records which host the peers have been told of: by an event with the room's view, or by the welcome if the peer
    /// is alone.
    pub(super) fn note_announced_host(&mut self, fact: &Fact) {
        let tells = match fact {
            Fact::HostGranted { .. }
            | Fact::HostWithdrawn { .. }
            | Fact::HostAnnounced
            | Fact::SettingsChanged(_)
            | Fact::Arranged(_)
            | Fact::ViewersCounted => true,
            Fact::Joined(_) | Fact::Left { .. } => self.joined().count() <= 1,
            _ => false,
        };
        if tells {
            self.state.announced_host = self.host();
        }
    }

    fn has_host(&self, power: Power) -> bool {
        self.joined().any(|member| member.power == power)
    }

    /// The next fact that brings the powers in line with the peers in the room, if one is due.
    pub(super) fn power_step(&self, now: Timestamp) -> Option<Fact> {
        if self.has_host(Power::Appointed) {
            let acting = self.joined().find(|member| member.power == Power::Acting)?;
            return Some(Fact::HostWithdrawn { peer: acting.id });
        }
        let (at, peer) = self.succession()?;
        (at <= now).then_some(Fact::HostGranted { peer, power: Power::Acting })
    }

    /// When which peer succeeds, if the room had a host and has none. The host of a meeting has no successor.
    fn succession(&self) -> Option<(Timestamp, PeerId)> {
        let state = &self.state;
        if !state.had_host || state.meeting.is_some() || self.joined().any(Member::is_host) {
            return None;
        }
        let eldest = self.joined().filter(|member| member.may_be_host()).min_by_key(|member| member.order)?;
        Some((state.resumed_until.max(state.power_kept_until), eldest.id))
    }

    /// When a peer succeeds, unless a host comes first.
    pub(super) fn next_succession(&self) -> Option<Timestamp> {
        self.succession().map(|(at, _)| at)
    }

    /// The fact that delays succession for the resume window, if the leaving peer is an appointed host.
    pub(super) fn power_kept(&self, now: Timestamp, peer: PeerId) -> Option<Fact> {
        let until = now + self.rules.limits.resume_window;
        self.member(peer).filter(|member| member.power == Power::Appointed).map(|_| Fact::PowerKept { until })
    }
}
