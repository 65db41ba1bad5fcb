//! Mesh or SFU, and the change from one to the other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Fact, Member, Room};
use crate::message::{Role, Topology, TopologyChoice, TopologyStep};
use crate::{Code, PeerId, Refusal, Timestamp};

/// A change of topology in progress: peers build the new path while the old one carries media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switching {
    /// The new topology.
    pub to: Topology,
    /// When the change completes at the latest.
    pub until: Timestamp,
    /// Peers that have not reported media on the new path.
    pub waiting: BTreeSet<PeerId>,
}

impl Room {
    /// Whether media flows through the SFU, or soon will.
    pub fn uses_sfu(&self) -> bool {
        self.state.topology == Topology::Sfu
            || self.state.switching.as_ref().is_some_and(|switch| switch.to == Topology::Sfu)
    }

    /// The epoch of the present mesh, or of the one being built.
    pub(super) fn mesh_epoch(&self) -> Option<u64> {
        match &self.state.switching {
            _ if self.state.topology == Topology::Mesh => Some(self.state.epoch),
            Some(switch) if switch.to == Topology::Mesh => Some(self.state.epoch + 1),
            _ => None,
        }
    }

    /// The present topology, or the one that the room is changing to.
    fn heading(&self) -> Topology {
        self.state.switching.as_ref().map_or(self.state.topology, |switch| switch.to)
    }

    /// The topology that the room's choice and its present peers call for.
    pub(super) fn suitable(&self) -> Topology {
        match self.state.choice {
            _ if !self.rules.sfu => Topology::Mesh,
            TopologyChoice::Mesh => Topology::Mesh,
            TopologyChoice::Sfu => Topology::Sfu,
            TopologyChoice::Auto => {
                let needs_server = self.joined().any(|member| member.role != Role::Participant);
                if self.state.recording.is_on()
                    || needs_server
                    || self.state.sfu_asked
                    || self.joined().count() > 2
                {
                    Topology::Sfu
                } else {
                    Topology::Mesh
                }
            }
        }
    }

    /// A client reports media on the new path, or that the present path carries none.
    pub(super) fn decide_topology(&self, from: &Member, step: TopologyStep) -> Result<Option<Fact>, Refusal> {
        let epoch = self.state.epoch;
        let wrong = |message| Err(Refusal::new(Code::InvalidState, message));
        match (step.topology, &self.state.switching) {
            // The failed path is no longer in use, or is already being replaced.
            (Some(Topology::Sfu), _) if step.epoch < epoch || self.heading() == Topology::Sfu => Ok(None),
            (Some(Topology::Sfu), _) if step.epoch > epoch => wrong("that path has never been"),
            (Some(Topology::Sfu), _) if !self.rules.sfu => wrong("this server has no SFU"),
            (Some(Topology::Sfu), _) if self.state.choice == TopologyChoice::Mesh => {
                wrong("media always flows from peer to peer in this room")
            }
            (Some(Topology::Sfu), _) => Ok(Some(Fact::SfuAsked { peer: from.id })),
            (Some(Topology::Mesh), _) => wrong("a room goes back to a mesh by itself"),
            (None, Some(switch)) if step.epoch == epoch + 1 && switch.waiting.contains(&from.id) => {
                Ok(Some(Fact::TopologyReady { peer: from.id }))
            }
            (None, switch) if step.epoch <= epoch + u64::from(switch.is_some()) => Ok(None),
            (None, _) => wrong("no such change of topology is under way"),
        }
    }

    /// The next fact that brings the topology closer to the suitable one, if one is due.
    pub(super) fn topology_step(&self, now: Timestamp) -> Option<Fact> {
        let suitable = self.suitable();
        // A peer that reloads its page must not put the others through two changes.
        let may_turn =
            suitable == Topology::Sfu || self.mesh_return_at().is_some_and(|return_at| return_at <= now);
        if suitable != self.heading() && may_turn {
            let (epoch, until) = (self.state.epoch + 1, now + self.rules.limits.topology_switch);
            return Some(Fact::TopologySwitching { to: suitable, epoch, until });
        }
        let switch = self.state.switching.as_ref()?;
        (switch.waiting.is_empty() || switch.until <= now).then_some(Fact::TopologySettled)
    }

    /// When a room that no longer needs the SFU returns to a mesh.
    fn mesh_return_at(&self) -> Option<Timestamp> {
        self.state.few_since.map(|since| since + self.rules.limits.mesh_return)
    }

    pub(super) fn next_topology_timeout(&self) -> Option<Timestamp> {
        let returning = self.heading() == Topology::Sfu && self.suitable() == Topology::Mesh;
        let returning = returning.then(|| self.mesh_return_at()).flatten();
        self.state.switching.as_ref().map(|switch| switch.until).into_iter().chain(returning).min()
    }

    /// Updates since when a mesh would suffice, after each entry.
    pub(super) fn note_size(&mut self, now: Timestamp) {
        self.state.few_since = match (self.suitable(), self.state.few_since) {
            (Topology::Sfu, _) => None,
            (Topology::Mesh, since) => since.or(Some(now)),
        };
    }
}
