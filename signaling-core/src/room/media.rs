//! The reports of the media plane.

use std::sync::Arc;

use super::{Change, Effect, Fact, FleetingEvent, Member, Room, sfu};
use crate::message::{LeaveReason, PeerTarget, Role, Track, TrackKind};
use crate::{MediaEvent, PeerId};

impl Room {
    /// The effects of a report.
    pub(super) fn decide_media(&self, event: MediaEvent) -> Vec<Effect> {
        let signalled = |to, body| Fact::Signalled { to, from: PeerTarget::Sfu, body: Arc::new(body) };
        let here = |peer: PeerId| self.member(peer).filter(|member| member.is_joined());
        let fact = match event {
            MediaEvent::Answer { peer, sdp, negotiation } => {
                here(peer).map(|_| signalled(peer, sfu::answer(&sdp, negotiation)))
            }
            MediaEvent::Offer { peer, sdp, negotiation, tracks } => {
                here(peer).map(|_| signalled(peer, sfu::offer(&sdp, negotiation, tracks)))
            }
            MediaEvent::Tracks { peer, tracks } => {
                let facts = here(peer).map(|member| tracks_changed(member, tracks)).unwrap_or_default();
                return facts.into_iter().map(Effect::Fact).collect();
            }
            MediaEvent::Flowing { peer, flowing } => here(peer)
                .filter(|member| member.flowing != flowing && member.role == Role::Broadcaster)
                .map(|_| Fact::Flowing { peer, flowing }),
            MediaEvent::Connected { .. } => None,
            MediaEvent::Closed { peer } => {
                let left =
                    here(peer).filter(|member| member.media_only).map(|_| self.left(peer, LeaveReason::Left));
                return left.unwrap_or_default().into_iter().map(Effect::Fact).collect();
            }
            MediaEvent::Failed { peer } => {
                here(peer).filter(|member| member.flowing).map(|_| Fact::Flowing { peer, flowing: false })
            }
            MediaEvent::Recording { state, peer, recording } => {
                Some(Fact::Recording { state, peer, recording })
            }
            MediaEvent::Speakers(speakers) => {
                return vec![Effect::Fleeting(FleetingEvent::Speakers(speakers))];
            }
            MediaEvent::Layers { peer, track, active } => {
                return vec![Effect::Fleeting(FleetingEvent::Layers { to: peer, track, active })];
            }
            MediaEvent::Quality { peer, level, track, layer, reason, to } => {
                return vec![Effect::Fleeting(FleetingEvent::Quality {
                    peer,
                    level,
                    track,
                    layer,
                    reason,
                    to,
                })];
            }
        };
        fact.map(Effect::Fact).into_iter().collect()
    }
}

/// The facts about a peer's new tracks. A media-only peer does not report its microphone and camera, so its tracks do.
fn tracks_changed(member: &Member, tracks: Vec<Track>) -> Vec<Fact> {
    let peer = member.id;
    let has = |kind| Some(tracks.iter().any(|track| track.kind == kind));
    let change =
        Change { microphone: has(TrackKind::Audio), camera: has(TrackKind::Video), ..Change::default() };
    let told = member.media_only.then(|| Fact::Updated { peer, change: Box::new(change) });
    [Some(Fact::TracksChanged { peer, tracks: tracks.into() }), told].into_iter().flatten().collect()
}
