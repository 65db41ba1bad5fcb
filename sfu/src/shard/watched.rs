//! Tells publishers which of their layers somebody watches, so that they need not send the others.
//!
//! A layer is stopped after a while, since viewers change their minds, and started again at once. WHIP clients cannot be
//! told, and send all layers.

use std::sync::Arc;

use signaling_core::MediaEvent;

use super::Shard;
use crate::keys::PublicationKey;
use crate::layer::MAX_LAYERS;
use crate::publication::Origin;
use crate::time::Micros;

impl Shard {
    /// Determines which layers of a track are watched, and tells the publisher if it has to start or to stop one.
    pub(super) fn note_watched(&mut self, now: Micros, key: PublicationKey) {
        let Some(publication) = self.tracks.publications.get(key).filter(|track| track.is_simulcast()) else {
            return;
        };
        let is_told = self.rooms.peer(publication.peer).is_some_and(|peer| peer.http.is_none());
        if !is_told || !matches!(publication.origin, Origin::Transport(_)) {
            return;
        }
        let mut watched = [false; MAX_LAYERS];
        for (at, watched) in watched.iter_mut().enumerate() {
            let is_recorded = publication.tap.as_ref().is_some_and(|tap| tap.wanted() == at);
            let is_mirrored = publication.layer(at).is_some_and(|layer| !layer.annexes.is_empty());
            let mut sections =
                publication.subscriptions.iter().filter_map(|key| self.tracks.subscription(*key));
            *watched = is_recorded
                || is_mirrored
                || sections
                    .any(|section| section.flow.wanted && !section.flow.starved && section.concerns(at));
        }
        let Some(publication) = self.tracks.publications.get_mut(key) else { return };
        let mut has_changed = false;
        for (layer, watched) in publication.layers.iter_mut().zip(watched) {
            has_changed |= layer.note_watched(now, watched);
        }
        if has_changed {
            self.tell_watched(key);
        }
    }

    /// Tells the publisher of a track which of its layers are watched.
    pub(super) fn tell_watched(&mut self, key: PublicationKey) {
        let Some(publication) = self.tracks.publications.get(key).filter(|track| track.is_simulcast()) else {
            return;
        };
        let on = publication.layers.iter().filter(|layer| layer.is_on);
        let active: Arc<[Arc<str>]> = on.filter_map(|layer| layer.rid.clone()).collect();
        let track = Arc::clone(&publication.id);
        self.tell(publication.peer, |peer| MediaEvent::Layers { peer, track, active });
    }
}
