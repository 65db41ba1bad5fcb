//! Peers of a room, which publish by their own offers and subscribe by the server's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use common::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use signaling_core::message::{Attention, Role};
use signaling_core::{MediaDemand, MediaEvent};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn three_participants_see_each_other() {
    let mut world = World::new(1);
    let room = World::room("three");
    let peers: Vec<_> = (0..3).map(|_| world.join(&room, Role::Participant)).collect();
    for peer in &peers {
        world.publish(&room, *peer, 3);
        world.run(SECOND / 4);
    }
    world.run(2 * SECOND);
    let since = world.micros() - 500_000;
    for peer in &peers {
        let client = world.subscribers[&(room.clone(), *peer)];
        assert_eq!(world.playing(client, since), 2, "{peer}");
        assert_eq!(world.clients[client].audio_packets.len(), 2, "{peer}");
    }
    let speakers = world.events.iter().rev().find_map(|(_, event)| match event {
        MediaEvent::Speakers(speakers) => Some(speakers.len()),
        _ => None,
    });
    assert_eq!(speakers, Some(3));
}

/// All events happen in random order; the result is always the same.
#[test]
fn every_viewer_sees_every_broadcaster_whatever_the_order() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let room = World::room("orders");
        // Two broadcasters and three viewers; each may leave and return before it stays.
        let mut visits = vec![(Role::Broadcaster, 1 + rng.next_u32() % 2); 2];
        visits.extend(vec![(Role::Viewer, 1 + rng.next_u32() % 3); 3]);
        let mut present = HashMap::new();
        while visits.iter().any(|(_, left)| *left > 0) {
            let at = rng.next_u32() as usize % visits.len();
            let (role, left) = &mut visits[at];
            if *left == 0 {
                continue;
            }
            let role = *role;
            match present.remove(&at) {
                None => {
                    let peer = world.join(&room, role);
                    let client = (role == Role::Broadcaster).then(|| world.publish(&room, peer, 2));
                    present.insert(at, (peer, client));
                    if *left == 1 {
                        *left = 0;
                    }
                }
                Some((peer, client)) => {
                    *left -= 1;
                    if let Some(client) = client {
                        world.sending.remove(&client);
                    }
                    world.demand(&room, MediaDemand::Leave { peer });
                }
            }
            world.run(Duration::from_millis(u64::from(rng.next_u32() % 400)));
        }
        world.run(2 * SECOND);
        let since = world.micros() - 300_000;
        let viewers: Vec<_> = present.iter().filter(|(at, _)| **at >= 2).collect();
        assert_eq!(viewers.len(), 3, "seed {seed}");
        for (_, (peer, _)) in viewers {
            let client = world.subscribers[&(room.clone(), *peer)];
            assert_eq!(world.playing(client, since), 2, "seed {seed}, viewer {peer}");
        }
    }
}

#[test]
fn one_offer_is_outstanding_and_changes_are_merged() {
    let mut world = World::new(5);
    let room = World::room("merge");
    let viewer = world.join(&room, Role::Viewer);
    world.answers = false;
    let broadcasters: Vec<_> = (0..4).map(|_| world.join(&room, Role::Broadcaster)).collect();
    for peer in &broadcasters {
        world.publish(&room, *peer, 1);
    }
    let offers = |world: &World| -> Vec<(String, u64, usize)> {
        let to_viewer = world.events.iter().filter_map(|(_, event)| match event {
            MediaEvent::Offer { peer, sdp, negotiation, tracks } if *peer == viewer => {
                Some((sdp.clone(), *negotiation, tracks.len()))
            }
            _ => None,
        });
        to_viewer.collect()
    };
    let first = offers(&world);
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].1, first[0].2), (1, 2));
    // A stale answer changes nothing.
    world.demand(&room, MediaDemand::Answer { peer: viewer, sdp: "v=0".into(), negotiation: Some(0) });
    assert_eq!(offers(&world).len(), 1);
    world.answer(&room, viewer, &first[0].0, 1);
    world.settle();
    let second = offers(&world);
    assert_eq!(second.len(), 2, "all other changes in one offer");
    assert_eq!((second[1].1, second[1].2), (2, 8));
    // The offer was lost on the way: it is sent again, with another number.
    world.demand(&room, MediaDemand::Resend { peer: viewer });
    assert_eq!(offers(&world).last().unwrap().1, 3);
}

#[test]
fn a_restart_gives_new_credentials_and_media_goes_on() {
    let mut world = World::new(6);
    let room = World::room("restart");
    let (broadcaster, viewer) = (world.join(&room, Role::Broadcaster), world.join(&room, Role::Viewer));
    world.publish(&room, broadcaster, 2);
    world.run(SECOND);
    let client = world.subscribers[&(room.clone(), viewer)];
    let before = world.played(client);
    assert!(before > 10);
    let ufrag = |world: &World| {
        let offer = world.newest_offer(viewer);
        offer.lines().find(|line| line.starts_with("a=ice-ufrag")).unwrap().to_owned()
    };
    let old = ufrag(&world);
    world.demand(&room, MediaDemand::RestartIce { peer: viewer });
    assert_ne!(ufrag(&world), old);
    world.run(2 * SECOND);
    assert!(world.played(client) > before + 50);
}

#[test]
fn a_track_that_is_not_wanted_is_not_sent_and_a_muted_peer_is_not_heard() {
    let mut world = World::new(7);
    let room = World::room("wants");
    let (broadcaster, viewer) = (world.join(&room, Role::Broadcaster), world.join(&room, Role::Viewer));
    world.publish(&room, broadcaster, 2);
    world.run(SECOND);
    let client = world.subscribers[&(room.clone(), viewer)];
    let video = world
        .events
        .iter()
        .find_map(|(_, event)| match event {
            MediaEvent::Tracks { tracks, .. } => tracks.iter().find(|track| track.codec == "VP8"),
            _ => None,
        })
        .unwrap();
    let track: Arc<str> = video.track.as_str().into();
    let sound = |world: &World| world.clients[client].audio_packets.values().sum::<u64>();

    let off = Attention { enabled: Some(false), ..Attention::default() };
    world.demand(&room, MediaDemand::Subscribe { peer: viewer, track: Arc::clone(&track), attention: off });
    world.demand(&room, MediaDemand::Mute { peer: broadcaster, muted: true });
    world.run(SECOND / 2);
    let (seen, heard) = (world.played(client), sound(&world));
    world.run(SECOND);
    assert_eq!((world.played(client), sound(&world)), (seen, heard));

    let on = Attention { enabled: Some(true), ..Attention::default() };
    world.demand(&room, MediaDemand::Subscribe { peer: viewer, track, attention: on });
    world.demand(&room, MediaDemand::Mute { peer: broadcaster, muted: false });
    world.run(SECOND);
    assert!(world.played(client) > seen + 20);
    assert!(sound(&world) > heard + 40);
    assert_eq!(world.clients[client].playback.len(), 1, "the same stream, continued");
}

#[test]
fn a_peer_without_consent_is_given_up() {
    let mut world = World::new(8);
    let room = World::room("consent");
    let (broadcaster, viewer) = (world.join(&room, Role::Broadcaster), world.join(&room, Role::Viewer));
    let client = world.publish(&room, broadcaster, 2);
    world.run(SECOND);
    let gone = sfu::testing::Link { loss_per_mille: 1_000, ..sfu::testing::Link::default() };
    let address = world.clients[client].address;
    world.network.set_link(address, gone, gone);
    world.run(25 * SECOND);
    assert!(world.events.contains(&(room.clone(), MediaEvent::Failed { peer: broadcaster })));
    assert!(
        world.events.contains(&(room.clone(), MediaEvent::Flowing { peer: broadcaster, flowing: false }))
    );
    assert!(!world.events.contains(&(room, MediaEvent::Failed { peer: viewer })));
}
