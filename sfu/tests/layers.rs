//! Publishers that send their picture in several sizes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::World;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::testing::{ClientKind, Link};
use signaling_core::message::{Attention, QualityReason, Role};
use signaling_core::{HttpSession, MediaDemand, MediaEvent, PeerId, RoomId};

const SECOND: Duration = Duration::from_secs(1);
const LAYERS: [(&str, u16); 3] = [("q", 320), ("h", 640), ("f", 1_280)];

/// Adds a WHIP client that sends three layers, the best one with this many packets per picture.
fn publisher(
    world: &mut World,
    room: &RoomId,
    packets: u16,
    layers: &[(&str, u16)],
    names: bool,
) -> (PeerId, usize) {
    let peer = world.join_http(room, Role::Broadcaster);
    let client = world.client(ClientKind::Publisher);
    world.clients[client].send_in_layers(layers);
    world.clients[client].names_layers = names;
    let offer = world.clients[client].offer();
    let answer = world.negotiate(room, peer, HttpSession::Publish, offer).unwrap();
    let rids: Vec<_> = layers.iter().map(|(rid, _)| *rid).collect();
    assert_eq!(
        answer.sdp.contains(&format!("a=simulcast:recv {}\r\n", rids.join(";"))),
        names,
        "{}",
        answer.sdp
    );
    assert!(!names || rids.iter().all(|rid| answer.sdp.contains(&format!("a=rid:{rid} recv\r\n"))));
    world.clients[client].accept_answer(world.now, &answer.sdp).unwrap();
    world.sending.insert(client, packets);
    (peer, client)
}

/// The pictures of each width that a client plays in a time.
fn played(world: &mut World, client: usize, time: Duration) -> BTreeMap<u16, u32> {
    let now = |world: &World| {
        let mut sum = BTreeMap::new();
        for playback in world.clients[client].playback.values() {
            for (width, count) in &playback.played_of_width {
                *sum.entry(*width).or_default() += count;
            }
        }
        sum
    };
    let before: BTreeMap<u16, u32> = now(world);
    world.run(time);
    let gained =
        now(world).into_iter().map(|(width, count)| (width, count - before.get(&width).unwrap_or(&0)));
    gained.filter(|(_, count)| *count > 0).collect()
}

fn track_of(world: &World, publisher: PeerId) -> Arc<str> {
    let tracks = world.events.iter().rev().find_map(|(_, event)| match event {
        MediaEvent::Tracks { peer, tracks } if *peer == publisher => Some(tracks.clone()),
        _ => None,
    });
    let video = tracks.unwrap().into_iter().find(|track| track.codec == "VP8").unwrap();
    video.track.as_str().into()
}

fn ask(world: &mut World, room: &RoomId, peer: PeerId, track: &Arc<str>, max_width: Option<u32>) {
    let attention = Attention { max_width, ..Attention::default() };
    world.demand(room, MediaDemand::Subscribe { peer, track: Arc::clone(track), attention });
}

#[test]
fn a_player_is_sent_the_best_layer_whatever_the_order_and_names() {
    let orders: [&[(&str, u16)]; 3] =
        [&LAYERS, &[("0", 1_280), ("1", 640), ("2", 320)], &[("hi", 1_280), ("lo", 320), ("mid", 640)]];
    for (seed, layers) in orders.into_iter().enumerate() {
        let mut world = World::new(1 + seed as u64);
        let room = World::room("layers");
        let (peer, _) = publisher(&mut world, &room, 16, layers, true);
        let (_, player) = world.player(&room, None);
        world.run(3 * SECOND);
        assert_eq!(played(&mut world, player, SECOND).into_iter().collect::<Vec<_>>(), [(1_280, 30)]);
        assert!(world.playback(player).longest_stall_micros < 200_000);
        assert_eq!(world.clients[player].playback.len(), 1, "one stream");
        let tracks = world.events.iter().rev().find_map(|(_, event)| match event {
            MediaEvent::Tracks { peer: of, tracks } if *of == peer => Some(tracks.clone()),
            _ => None,
        });
        assert_eq!(tracks.unwrap().iter().map(|track| track.simulcast).collect::<Vec<_>>(), [false, true]);
    }
}

#[test]
fn a_subscriber_is_sent_no_more_than_it_asks_for() {
    for workers in [1, 2] {
        let mut world = World::with_config(10, |config| config.shards = workers);
        let room = World::room("sizes");
        let (peer, camera) = publisher(&mut world, &room, 16, &LAYERS, true);
        let viewers: Vec<_> = (0..16).map(|_| world.join(&room, Role::Viewer)).collect();
        world.run(3 * SECOND);
        let track = track_of(&world, peer);
        let asked = [(Some(320), 320), (Some(640), 640), (Some(1_000), 640), (Some(100), 320), (None, 1_280)];
        for (viewer, (max_width, _)) in viewers.iter().zip(asked.iter().cycle()) {
            ask(&mut world, &room, *viewer, &track, *max_width);
        }
        world.run(SECOND);
        let requests = world.clients[camera].keyframe_requests.len();
        for (viewer, (_, width)) in viewers.iter().zip(asked.iter().cycle()) {
            let client = world.subscribers[&(room.clone(), *viewer)];
            let seen = played(&mut world, client, SECOND / 2);
            assert_eq!(seen.keys().collect::<Vec<_>>(), [width], "{workers} workers");
            assert!(world.playback(client).longest_stall_micros < 200_000, "no pause at the change");
        }
        assert_eq!(
            world.clients[camera].keyframe_requests.len(),
            requests,
            "who has its layer asks for nothing"
        );
    }
}

#[test]
fn a_layer_that_stops_is_replaced_and_comes_back() {
    let mut world = World::new(11);
    let room = World::room("stops");
    let (_, camera) = publisher(&mut world, &room, 16, &LAYERS, true);
    let (_, player) = world.player(&room, None);
    world.run(2 * SECOND);
    world.clients[camera].set_active("f", false);
    world.run(3 * SECOND);
    assert_eq!(played(&mut world, player, SECOND).keys().collect::<Vec<_>>(), [&640]);
    assert!(
        world.playback(player).longest_stall_micros < 2_700_000,
        "{}",
        world.playback(player).longest_stall_micros
    );
    world.clients[camera].set_active("f", true);
    world.run(SECOND / 2);
    assert_eq!(played(&mut world, player, SECOND).keys().collect::<Vec<_>>(), [&1_280]);
}

/// 2.6 Mbit/s in the best layer, 650 and 160 kbit/s in the others, on a path of 1.2 Mbit/s.
#[test]
fn a_narrow_path_has_a_lesser_layer_rather_than_none() {
    let mut world = World::new(12);
    let room = World::room("narrow");
    publisher(&mut world, &room, 10, &LAYERS, true);
    world.run(SECOND);
    let narrow = Link { delay_micros: 20_000, rate: Some(1_200_000), ..Link::default() };
    world.access = (Link::default(), narrow);
    let (_, player) = world.player(&room, None);
    world.run(6 * SECOND);
    let seen = played(&mut world, player, 10 * SECOND);
    assert!(seen.get(&640).is_some_and(|count| *count > 200), "{seen:?}");
    assert!(!seen.contains_key(&1_280), "{seen:?}");
    let told = world.events.iter().rev().find_map(|(_, event)| match event {
        MediaEvent::Quality { level, layer, reason, .. } => Some((*level, layer.clone(), *reason)),
        _ => None,
    });
    assert_eq!(told, Some((3, Some("h".into()), Some(QualityReason::OwnNetwork))));
    let wide = Link { delay_micros: 20_000, rate: Some(20_000_000), ..Link::default() };
    let address = world.clients[player].address;
    world.network.set_link(address, Link::default(), wide);
    world.run(20 * SECOND);
    assert_eq!(played(&mut world, player, SECOND).keys().collect::<Vec<_>>(), [&1_280]);
}

/// Reports this loss, of 256, of all pictures that a subscriber is sent (RFC 3550 section 6.4.2).
fn report_loss(world: &mut World, room: &RoomId, subscriber: PeerId, fraction: u8) {
    let client = world.subscribers[&(room.clone(), subscriber)];
    let client = &mut world.clients[client];
    for ssrc in client.playback.keys().copied().collect::<Vec<_>>() {
        let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
        report.extend(ssrc.to_be_bytes());
        report.push(fraction);
        report.resize(32, 0);
        client.send_raw_rtcp(&report);
    }
    world.run(SECOND / 10);
}

/// A packet of which all retransmissions are lost stops the picture, the sooner the more packets it has.
#[test]
fn a_path_that_loses_one_packet_of_five_is_sent_what_can_be_repaired() {
    for seed in 60..64 {
        let mut world = World::new(seed);
        let far = |loss_per_mille| Link { delay_micros: 50_000, loss_per_mille, ..Link::default() };
        let room = World::room("lossy");
        let (camera, _) = publisher(&mut world, &room, 10, &LAYERS, true);
        world.access = (far(0), far(0));
        let viewer = world.join(&room, Role::Viewer);
        world.run(12 * SECOND);
        let client = world.subscribers[&(room.clone(), viewer)];
        assert_eq!(played(&mut world, client, SECOND).into_keys().collect::<Vec<_>>(), [1_280]);
        let address = world.clients[client].address;
        world.network.set_link(address, far(200), far(200));
        // Until the loss counts as usual: 24 windows of 60 packets.
        world.run(15 * SECOND);
        for playback in world.clients[client].playback.values_mut() {
            playback.longest_stall_micros = 0;
        }
        let seen = played(&mut world, client, 20 * SECOND);
        let track = track_of(&world, camera);
        assert!(!seen.contains_key(&1_280), "seed {seed}: {seen:?}");
        assert!(seen.values().sum::<u32>() >= 480, "seed {seed}: {seen:?}");
        let stall = world.playback(client).longest_stall_micros;
        assert!(stall <= 1_200_000, "seed {seed}: {stall}");
        let told = world.events.iter().rev().find_map(|(_, event)| match event {
            MediaEvent::Quality { track: Some(of), level, reason, to: Some(to), .. }
                if *to == viewer && *of == track =>
            {
                Some((*level, *reason))
            }
            _ => None,
        });
        assert!(
            matches!(told, Some((1..4, Some(QualityReason::OwnNetwork)))),
            "the viewer is told why: {told:?}"
        );
        world.network.set_link(address, far(0), far(0));
        world.run(20 * SECOND);
        assert_eq!(
            played(&mut world, client, SECOND).into_keys().collect::<Vec<_>>(),
            [1_280],
            "seed {seed}"
        );
    }
}

/// The same path with loss, and what is measured of it; then the viewer wants the picture no longer.
#[test]
fn what_is_measured_of_a_room_can_be_asked() {
    let mut world = World::new(31);
    let room = World::room("measured");
    let (camera, _) = publisher(&mut world, &room, 10, &LAYERS, true);
    world.run(SECOND);
    let narrow = Link { delay_micros: 20_000, rate: Some(1_200_000), ..Link::default() };
    world.access = (Link::default(), narrow);
    let viewer = world.join(&room, Role::Viewer);
    world.run(6 * SECOND);
    let lossy = |link: Link| Link { loss_per_mille: 50, ..link };
    world.set_links(lossy(Link::default()), lossy(narrow));
    world.run(4 * SECOND);
    report_loss(&mut world, &room, viewer, 26);

    let measured = world.statistics(&room);
    let of = |peer: PeerId| measured.iter().find(|measured| measured.peer == peer).unwrap();
    assert_eq!(measured.len(), 2);
    let received = &of(camera).received;
    let layers: BTreeMap<_, _> = received.iter().filter_map(|one| Some((one.layer.clone()?, one))).collect();
    assert_eq!(layers.keys().map(|rid| &**rid).collect::<Vec<_>>(), ["f", "h", "q"]);
    assert!(layers["f"].bps > 3 * layers["h"].bps && layers["h"].bps > 100_000, "{received:?}");
    assert!(received.iter().any(|layer| (1.0..15.0).contains(&layer.loss_percent)), "{received:?}");
    assert_eq!(of(camera).sent, []);

    let viewer_stats = of(viewer);
    assert_eq!(viewer_stats.received, []);
    let track = track_of(&world, camera);
    let sent = viewer_stats.sent.iter().find(|sent| sent.track == track).unwrap();
    assert!(matches!(sent.layer.as_deref(), Some("h" | "q")), "{sent:?}");
    let layer = layers[sent.layer.as_ref().unwrap()];
    assert!(sent.bps.abs_diff(layer.bps) * 2 < layer.bps, "{sent:?} of {layer:?}");
    assert!((sent.loss_percent - 10.2).abs() < 0.01, "26 of 256: {sent:?}");
    assert!(sent.retransmitted > 0 && !sent.paused && sent.reason.is_none(), "{sent:?}");
    assert!(viewer_stats.rtt_ms.is_some_and(|rtt| (20..400).contains(&rtt)), "{viewer_stats:?}");
    assert!(
        viewer_stats.estimate_bps.is_some_and(|bps| (200_000..2_500_000).contains(&bps)),
        "{viewer_stats:?}"
    );
    assert!(viewer_stats.queue_ms.is_some());

    let attention = Attention { enabled: Some(false), ..Attention::default() };
    world.demand(&room, MediaDemand::Subscribe { peer: viewer, track: Arc::clone(&track), attention });
    world.run(4 * SECOND);
    let measured = world.statistics(&room);
    let sent = measured.iter().flat_map(|peer| &peer.sent).find(|sent| sent.track == track).unwrap();
    assert_eq!((sent.bps, sent.paused, sent.reason), (0, true, Some(QualityReason::NotWanted)));
}

#[test]
fn a_viewer_begins_with_the_least_layer_and_climbs_without_a_loss() {
    let mut world = World::new(21);
    let room = World::room("climbing");
    publisher(&mut world, &room, 16, &LAYERS, true);
    world.run(SECOND);
    let link = Link { delay_micros: 20_000, rate: Some(6_000_000), ..Link::default() };
    world.access = (Link::default(), link);
    let (_, player) = world.player(&room, None);
    assert!(played(&mut world, player, 2 * SECOND).contains_key(&320), "the least layer comes first");
    world.run(3 * SECOND);
    assert_eq!(played(&mut world, player, SECOND).into_iter().collect::<Vec<_>>(), [(1_280, 30)]);
    assert_eq!(world.network.lost, 0, "nothing was sent that the path did not carry");
}

#[test]
fn of_several_streams_without_names_one_is_taken() {
    let mut world = World::new(13);
    let room = World::room("unnamed");
    let (_, camera) = publisher(&mut world, &room, 16, &LAYERS, false);
    let (_, player) = world.player(&room, None);
    world.run(2 * SECOND);
    assert_eq!(played(&mut world, player, SECOND).into_iter().collect::<Vec<_>>(), [(320, 30)]);
    assert!(
        world.clients[camera].keyframe_requests.len() <= 2,
        "{:?}",
        world.clients[camera].keyframe_requests
    );
    // Its end is another one's turn.
    world.clients[camera].set_active("q", false);
    world.run(2 * SECOND);
    assert_eq!(played(&mut world, player, SECOND).into_iter().collect::<Vec<_>>(), [(640, 30)]);
}

/// The layers that a publisher was last told to send; it obeys.
fn obey(world: &mut World, camera: usize) -> Vec<String> {
    let told = world.events.iter().rev().find_map(|(_, event)| match event {
        MediaEvent::Layers { active, .. } => Some(active.iter().map(ToString::to_string).collect::<Vec<_>>()),
        _ => None,
    });
    let active = told.unwrap_or_else(|| LAYERS.map(|(rid, _)| rid.to_owned()).to_vec());
    for (rid, _) in LAYERS {
        world.clients[camera].set_active(rid, active.iter().any(|on| on == rid));
    }
    active
}

#[test]
fn a_publisher_is_told_which_layers_are_watched() {
    for workers in [1, 2] {
        let mut world = World::with_config(14, |config| config.shards = workers);
        let room = World::room("watched");
        let peer = world.join(&room, Role::Broadcaster);
        let camera = world.client(ClientKind::Publisher);
        world.clients[camera].send_in_layers(&LAYERS);
        world.publish_from(&room, peer, camera, 16);
        let viewers: Vec<_> = (0..14).map(|_| world.join(&room, Role::Viewer)).collect();
        // Every viewer begins with the least layer, until its path is proved to carry more.
        world.run(4 * SECOND);
        assert_eq!(obey(&mut world, camera), ["f"], "all want the best");
        let track = track_of(&world, peer);
        let width_of = |world: &mut World, viewer: PeerId| {
            let client = world.subscribers[&(room.clone(), viewer)];
            played(world, client, SECOND / 2).into_keys().collect::<Vec<_>>()
        };
        let switch = |world: &mut World, viewer: PeerId, enabled: bool, max_width: Option<u32>| {
            let attention = Attention { enabled: Some(enabled), max_width, ..Attention::default() };
            world
                .demand(&room, MediaDemand::Subscribe { peer: viewer, track: Arc::clone(&track), attention });
        };
        for viewer in &viewers {
            switch(&mut world, *viewer, true, Some(320));
        }
        switch(&mut world, viewers[13], true, Some(640));
        // Started at once, stopped when nobody is left.
        world.run(SECOND / 10);
        assert_eq!(obey(&mut world, camera), ["q", "h", "f"], "{workers} workers");
        world.run(4 * SECOND);
        assert_eq!(obey(&mut world, camera), ["q", "h"]);
        assert_eq!(
            (width_of(&mut world, viewers[0]), width_of(&mut world, viewers[13])),
            (vec![320], vec![640])
        );
        world.run(4 * SECOND);
        // What is proved may be a little less than a stopped layer needs.
        switch(&mut world, viewers[0], true, None);
        world.run(SECOND);
        assert_eq!(obey(&mut world, camera), ["q", "h", "f"]);
        world.run(SECOND);
        assert_eq!(width_of(&mut world, viewers[0]), [1_280]);
        for viewer in &viewers {
            switch(&mut world, *viewer, false, None);
        }
        world.run(4 * SECOND);
        assert_eq!(obey(&mut world, camera), [""; 0], "nobody watches");
        world.run(4 * SECOND);
        switch(&mut world, viewers[7], true, Some(640));
        world.run(SECOND / 10);
        assert_eq!(obey(&mut world, camera), ["h"]);
        world.run(SECOND / 2);
        assert_eq!(width_of(&mut world, viewers[7]), [640]);
        // The newest is told again after a resume.
        let told = |world: &World| {
            world.events.iter().filter(|(_, event)| matches!(event, MediaEvent::Layers { .. })).count()
        };
        let before = told(&world);
        world.demand(&room, MediaDemand::Returned { peer });
        assert_eq!((told(&world), obey(&mut world, camera)), (before + 1, vec!["h".to_owned()]));
    }
}

/// A publisher over signaling that sends the layers which are watched, and one viewer behind this bitrate. Their clients.
fn watched_over(world: &mut World, room: &RoomId, rate: u64) -> (usize, usize) {
    let peer = world.join(room, Role::Broadcaster);
    let camera = world.client(ClientKind::Publisher);
    world.clients[camera].send_in_layers(&LAYERS);
    world.publish_from(room, peer, camera, 16);
    for _ in 0..60 {
        world.run(SECOND / 10);
        obey(world, camera);
    }
    let link = Link { delay_micros: 20_000, rate: Some(rate), ..Link::default() };
    world.access = (Link::default(), link);
    let viewer = world.join(room, Role::Viewer);
    (camera, world.subscribers[&(room.clone(), viewer)])
}

#[test]
fn a_stopped_layer_counts_for_what_it_would_need() {
    for seed in 30..34 {
        let mut world = World::new(seed);
        // 270 kbit/s, 1.1 and 4.3 Mbit/s in the layers.
        let (camera, viewer) = watched_over(&mut world, &World::room("stopped"), 600_000);
        let mut seen: BTreeMap<u16, u32> = BTreeMap::new();
        for _ in 0..200 {
            for (width, count) in played(&mut world, viewer, SECOND / 10) {
                *seen.entry(width).or_default() += count;
            }
            assert_eq!(obey(&mut world, camera), ["q"], "seed {seed}");
        }
        assert_eq!(seen.keys().collect::<Vec<_>>(), [&320], "seed {seed}");
        assert!(seen[&320] > 570, "seed {seed}: {seen:?}");
        assert!(world.playback(viewer).longest_stall_micros < 400_000, "seed {seed}");
    }
}

/// The world asserts that no index of a stream is encrypted twice.
#[test]
fn nothing_is_sealed_twice_over_loss_and_changes_of_layer_and_target() {
    for seed in 20..26 {
        let mut world = World::with_config(seed, |config| config.shards = 1 + (seed % 2) as u16);
        let mut rng = StdRng::seed_from_u64(seed);
        let room = World::room("whatever");
        let lossy =
            Link { delay_micros: 10_000, jitter_micros: 20_000, loss_per_mille: 30, ..Link::default() };
        world.access = (lossy, lossy);
        let (peer, camera) = publisher(&mut world, &room, 16, &LAYERS, true);
        world.run(SECOND);
        let track = track_of(&world, peer);
        let mut viewers: Vec<_> = (0..14).map(|_| world.join(&room, Role::Viewer)).collect();
        for _ in 0..150 {
            let at = rng.next_u32() as usize % viewers.len();
            match rng.next_u32() % 12 {
                0 => {
                    world.demand(&room, MediaDemand::Leave { peer: viewers[at] });
                    viewers[at] = world.join(&room, Role::Viewer);
                }
                1 => world.demand(&room, MediaDemand::Resend { peer: viewers[at] }),
                2 => {
                    let (rid, _) = LAYERS[rng.next_u32() as usize % 3];
                    world.clients[camera].set_active(rid, rng.next_u32().is_multiple_of(2));
                }
                3 => {
                    let attention = Attention { enabled: Some(false), ..Attention::default() };
                    let track = Arc::clone(&track);
                    world.demand(&room, MediaDemand::Subscribe { peer: viewers[at], track, attention });
                }
                wish => ask(&mut world, &room, viewers[at], &track, Some(320 << (wish % 3))),
            }
            world.run(Duration::from_millis(u64::from(rng.next_u32() % 60)));
        }
        for (rid, _) in LAYERS {
            world.clients[camera].set_active(rid, true);
        }
        for viewer in &viewers {
            ask(&mut world, &room, *viewer, &track, None);
        }
        // The paths are proved layer by layer, over the loss.
        world.run(8 * SECOND);
        for viewer in &viewers {
            let client = world.subscribers[&(room.clone(), *viewer)];
            let seen = played(&mut world, client, SECOND);
            assert_eq!(seen.keys().collect::<Vec<_>>(), [&1_280], "seed {seed}: {viewer}");
        }
    }
}
