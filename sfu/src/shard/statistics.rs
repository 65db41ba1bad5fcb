//! What is measured of a room, for whoever runs it.

use signaling_core::message::QualityReason;
use signaling_core::{PeerStatistics, ReceivedTrack, RoomId, SentTrack};

use super::Shard;
use crate::keys::{PeerKey, PublicationKey, SubscriptionKey};
use crate::layer::Layer;
use crate::publication::Origin;
use crate::receive::Receiver;
use crate::time::Micros;
use crate::transport::Transport;

impl Shard {
    /// The statistics of a room, as far as this shard has its connections.
    pub(super) fn statistics(&mut self, now: Micros, room: &RoomId) -> Vec<PeerStatistics> {
        let members = self.rooms.members(room);
        members.into_iter().filter_map(|key| self.peer_statistics(now, key)).collect()
    }

    fn peer_statistics(&mut self, now: Micros, key: PeerKey) -> Option<PeerStatistics> {
        let peer = self.rooms.peer(key)?;
        let (mut statistics, publishes, subscribes) =
            (PeerStatistics::new(peer.id), peer.publish, peer.subscribe);
        for publication in self.rooms.publications(key) {
            statistics.received.extend(self.received(now, publication));
        }
        let paths = [subscribes, publishes].into_iter().flatten();
        let mut paths = paths.filter_map(|key| self.connections.get(key)).map(Transport::rtt_micros);
        statistics.rtt_ms = paths.find(|rtt| *rtt > 0).map(|rtt| rtt / 1_000);
        let Some(transport) = subscribes else { return Some(statistics) };
        if self.is_estimated(now, transport)
            && let Some(controller) =
                self.connections.get_mut(transport).and_then(|transport| transport.sender.controller(now))
        {
            statistics.estimate_bps = Some(controller.budget());
            statistics.queue_ms = Some(controller.queued_micros() / 1_000);
        }
        for section in self.connections.sends(transport) {
            statistics.sent.extend(self.sent(now, section));
        }
        Some(statistics)
    }

    /// The track in a section; `None` if the section is free, or the client has not accepted it.
    fn sent(&mut self, now: Micros, section: SubscriptionKey) -> Option<SentTrack> {
        let bps = self.tracks.rate_of(now, section);
        let subscription = self.tracks.subscription(section)?;
        let publication = self.tracks.publications.get(subscription.publication?)?;
        let flow = Some(subscription.flow).filter(|flow| flow.negotiated)?;
        let reason = if !flow.wanted {
            Some(QualityReason::NotWanted)
        } else if flow.starved {
            Some(QualityReason::OwnNetwork)
        } else {
            None
        };
        Some(SentTrack {
            track: publication.id.clone(),
            layer: publication.layer(subscription.layer).and_then(|layer| layer.rid.clone()),
            bps: if flow.is_open() { bps } else { 0 },
            loss_percent: percent(subscription.fraction_lost),
            retransmitted: subscription.retransmitted,
            paused: !flow.is_open(),
            reason,
        })
    }

    /// The layers of a track that a client of this shard publishes.
    fn received(&mut self, now: Micros, key: PublicationKey) -> Vec<ReceivedTrack> {
        let publication = self.tracks.publications.get_mut(key);
        let Some(publication) = publication.filter(|track| matches!(track.origin, Origin::Transport(_)))
        else {
            return Vec::new();
        };
        let received = |layer: &mut Layer| ReceivedTrack {
            track: publication.id.clone(),
            layer: layer.rid.clone(),
            bps: layer.rate.bits_per_second(now),
            loss_percent: percent(layer.receiver.as_ref().map_or(0, Receiver::fraction_lost)),
            paused: !layer.is_on,
        };
        publication.layers.iter_mut().map(received).collect()
    }
}

/// The percentage that a fraction of 256 is (RFC 3550 section 6.4.1), to a tenth.
fn percent(fraction: u8) -> f32 {
    (f32::from(fraction) * 1_000.0 / 256.0).round() / 10.0
}
