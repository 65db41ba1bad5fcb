//! Who has a host's powers, and what becomes of them when hosts come and go.

use serde::{Deserialize, Serialize};

use super::{Fact, Member, Room};
use crate::message::Role;
use crate::{PeerId, Timestamp};

/// Whether a peer has a host's powers, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It has none.
    #[default]
    None,
    /// While no appointed host is there: as the successor of one, or made host by such a successor.
    Acting,
    /// It was the first who could be host, showed a token, or was made host by an appointed one.
    Appointed,
}

impl Member {
    /// Whether it has a host's powers.
    pub fn is_host(&self) -> bool {
        self.power != Power::None
    }

    /// Whether it may have them: whoever only watches may not, nor a session that cannot speak.
    pub(super) fn may_be_host(&self) -> bool {
        may_be_host(self.role, self.media_only)
    }
}

/// Whether somebody of this role, with or without a voice, may have a host's powers.
pub(super) fn may_be_host(role: Role, media_only: bool) -> bool {
    role != Role::Viewer && !media_only
}

impl Room {
    /// The host who is named to all: an appointed one before an acting one, and of several the eldest.
    pub(super) fn host(&self) -> Option<PeerId> {
        let hosts = self.joined().filter(|member| member.is_host());
        hosts.min_by_key(|member| (member.power != Power::Appointed, member.order)).map(|host| host.id)
    }

    /// Whether the next who may be host becomes it by coming in.
    pub(crate) fn awaits_first_host(&self) -> bool {
        self.state.first_is_host && !self.state.had_host
    }

    /// Notes whom everybody has been told of: those who are there by an event about the room, whoever comes alone by the
    /// welcome.
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

    /// The step by which the powers come to where they belong, if one is due.
    pub(super) fn power_step(&self, now: Timestamp) -> Option<Fact> {
        if self.has_host(Power::Appointed) {
            let acting = self.joined().find(|member| member.power == Power::Acting)?;
            return Some(Fact::HostWithdrawn { peer: acting.id });
        }
        let (at, peer) = self.succession()?;
        (at <= now).then_some(Fact::HostGranted { peer, power: Power::Acting })
    }

    /// When who succeeds, if the room is without a host and has had one. Nobody succeeds the host of a meeting.
    fn succession(&self) -> Option<(Timestamp, PeerId)> {
        let state = &self.state;
        if !state.had_host || state.meeting.is_some() || self.joined().any(Member::is_host) {
            return None;
        }
        let eldest = self.joined().filter(|member| member.may_be_host()).min_by_key(|member| member.order)?;
        Some((state.resumed_until.max(state.power_kept_until), eldest.id))
    }

    /// When somebody succeeds, if nobody comes before.
    pub(super) fn next_succession(&self) -> Option<Timestamp> {
        self.succession().map(|(at, _)| at)
    }

    /// What keeps the powers of a peer that goes and may come back, for as long as a lost connection would.
    pub(super) fn power_kept(&self, now: Timestamp, peer: PeerId) -> Option<Fact> {
        let until = now + self.rules.limits.resume_window;
        self.member(peer).filter(|member| member.power == Power::Appointed).map(|_| Fact::PowerKept { until })
    }
}
