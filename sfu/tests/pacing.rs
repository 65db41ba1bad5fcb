//! Key frames leave at a pace that the path can bear, and nothing else waits for them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Departed, PICTURE, SOUND, World};
use sfu::testing::{ClientKind, Frame, Link};
use signaling_core::message::{Attention, Role};
use signaling_core::{MediaDemand, MediaEvent};

const SECOND: Duration = Duration::from_secs(1);
const KEY_PACKETS: u16 = 40;

/// A publisher of 270 kbit/s with key frames of many packets, and a player behind a bottleneck.
struct Paced {
    world: World,
    camera: usize,
    player: usize,
}

impl Paced {
    fn new(seed: u64, down: Link) -> Self {
        let mut world = World::new(seed);
        let room = World::room("paced");
        let (_, camera) = world.publisher(&room, 1);
        world.run(SECOND);
        world.access = (Link::default(), down);
        let (_, player) = world.player(&room, None);
        world.run(5 * SECOND);
        Self { world, camera, player }
    }

    /// Lets the publisher send a key frame of this many packets, and records what leaves for the player within `time`.
    fn key_frame(&mut self, packets: u16, time: Duration) -> Vec<Departed> {
        let Self { world, camera, player } = self;
        let to = world.clients[*player].address;
        world.clients[*camera].key_packets_factor = packets;
        world.departed = Some(Vec::new());
        self.ask();
        self.world.run(time);
        self.world.clients[self.camera].key_packets_factor = 1;
        let mut departed = self.world.departed.take().unwrap();
        departed.retain(|packet| packet.to == to);
        departed
    }

    /// Sends a PLI for the video.
    fn ask(&mut self) {
        let player = &mut self.world.clients[self.player];
        for ssrc in player.playback.keys().copied().collect::<Vec<_>>() {
            let [a, b, c, d] = ssrc.to_be_bytes();
            player.send_raw_rtcp(&[0x81, 206, 0, 2, 0, 0, 0, 1, a, b, c, d]);
        }
    }

    fn address(&self) -> SocketAddr {
        self.world.clients[self.player].address
    }

    /// Whether this is the stream of the pictures.
    fn is_video(&self, packet: &Departed) -> bool {
        self.world.clients[self.player].playback.contains_key(&packet.ssrc)
    }

    /// Whether this is the stream of the sound.
    fn is_audio(&self, packet: &Departed) -> bool {
        self.world.clients[self.player].audio_packets.contains_key(&packet.ssrc)
    }
}

fn narrow(rate: u64) -> Link {
    Link { delay_micros: 20_000, rate: Some(rate), queue_micros: 300_000, ..Link::default() }
}

#[test]
fn a_key_frame_is_spread_and_sound_passes_it() {
    for seed in 1..6 {
        let mut paced = Paced::new(seed, narrow(1_000_000));
        let (lost, played) = (paced.world.network.lost, paced.world.played(paced.player));
        let departed = paced.key_frame(KEY_PACKETS, SECOND);
        let video: Vec<_> = departed.iter().filter(|packet| paced.is_video(packet)).collect();
        assert!(video.len() >= usize::from(KEY_PACKETS) + 28, "seed {seed}: {}", video.len());
        assert!(
            video.windows(2).all(|pair| pair[1].number == pair[0].number.wrapping_add(1)),
            "seed {seed}: each once, in order"
        );
        // A train would overflow the queue: it takes 350 ms on this link.
        assert_eq!(paced.world.network.lost, lost, "seed {seed}");
        let most = video.iter().map(|packet| {
            let span = packet.micros..packet.micros + 20_000;
            video.iter().filter(|other| span.contains(&other.micros)).count()
        });
        assert!(most.max().unwrap() <= usize::from(KEY_PACKETS) / 2, "seed {seed}: within 20 ms");
        // What waits leaves a few times in a picture's time, not whenever a byte may.
        let mut turns: Vec<_> = video.iter().map(|packet| packet.micros).collect();
        turns.dedup();
        assert!((32..130).contains(&turns.len()), "seed {seed}: {} turns", turns.len());

        let sound: Vec<_> = departed.iter().filter(|packet| paced.is_audio(packet)).collect();
        assert!(sound.len() >= 49, "seed {seed}: {}", sound.len());
        for pair in sound.windows(2) {
            assert_eq!(pair[1].micros - pair[0].micros, u64::from(SOUND.subsec_micros()), "seed {seed}");
        }
        assert!(paced.world.played(paced.player) >= played + 28, "seed {seed}: the pictures are shown");
    }
}

#[test]
fn nothing_waits_on_a_path_that_is_wide_enough() {
    let mut paced = Paced::new(7, Link::default());
    let player = paced.player;
    let playback =
        |paced: &mut Paced| paced.world.clients[player].playback.values_mut().next().unwrap().clone();
    let before = playback(&mut paced).latencies_micros.len();
    paced.world.run(3 * SECOND);
    let latencies = playback(&mut paced).latencies_micros.split_off(before);
    assert!(latencies.len() >= 85, "{}", latencies.len());
    assert_eq!(latencies.iter().max(), Some(&2_000), "the delays of the two links");
}

#[test]
fn a_key_frame_that_is_too_large_is_given_up() {
    for seed in 10..13 {
        let mut paced = Paced::new(seed, narrow(500_000));
        let ssrcs: Vec<_> = paced.world.clients[paced.player].playback.keys().copied().collect();
        let asked = paced.world.clients[paced.camera].keyframe_requests.len();
        // At 2.5 times the rate of the link, it would take 2 s.
        let departed = paced.key_frame(300, 2 * SECOND);
        let sent = departed.iter().filter(|packet| ssrcs.contains(&packet.ssrc)).count();
        assert!(sent < 250, "seed {seed}: {sent} packets left");
        assert!(paced.world.clients[paced.camera].keyframe_requests.len() > asked + 1, "seed {seed}");
        let sound = departed.iter().filter(|packet| paced.is_audio(packet)).count();
        assert!(sound >= 98, "seed {seed}: {sound}");
        // The next key frame is an ordinary one.
        let played = paced.world.played(paced.player);
        paced.world.run(8 * SECOND);
        assert!(paced.world.played(paced.player) >= played + 150, "seed {seed}");
        let wait = paced.world.network.newest_wait(paced.world.server, paced.address());
        assert!(wait < 100_000, "seed {seed}: a queue of {wait} us");
    }
}

#[test]
fn a_change_of_layer_lets_the_picture_end_that_is_leaving() {
    let mut world = World::new(20);
    let room = World::room("layers");
    let broadcaster = world.join(&room, Role::Broadcaster);
    let camera = world.client(ClientKind::Publisher);
    world.clients[camera].send_in_layers(&[("q", 160), ("f", 640)]);
    world.publish_from(&room, broadcaster, camera, 2);
    world.access = (Link::default(), narrow(1_500_000));
    let viewer = world.join(&room, Role::Viewer);
    world.run(6 * SECOND);
    let track = world.events.iter().find_map(|(_, event)| match event {
        MediaEvent::Tracks { tracks, .. } => tracks.iter().find(|track| track.simulcast).cloned(),
        _ => None,
    });
    let track = track.unwrap().track;
    let client = world.subscribers[&(room.clone(), viewer)];
    let mut paced = Paced { world, camera, player: client };

    // A key frame of 88 kB takes some 200 ms, and the other layer's comes meanwhile.
    paced.world.clients[client].kept = Some(Vec::new());
    let departed = paced.key_frame(40, 3 * PICTURE);
    let begun = departed.iter().filter(|packet| paced.is_video(packet)).count();
    assert!((10..70).contains(&begun), "{begun}");
    let attention = Attention { max_width: Some(160), ..Attention::default() };
    let track = track.as_str().into();
    paced.world.demand(&room, MediaDemand::Subscribe { peer: viewer, track, attention });
    paced.world.run(2 * SECOND);

    let kept = paced.world.clients[client].kept.take().unwrap();
    assert!(kept.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)), "in order");
    let frames: Vec<_> = kept.iter().map(|packet| Frame::from_vp8(&packet.payload).unwrap()).collect();
    let change = frames.iter().position(|frame| frame.size.0 == 160).unwrap();
    assert!(frames[change].is_key && frames[change].packet == 0, "begins with a key frame");
    let before = frames[change - 1];
    assert!(before.is_key && before.packet == 79, "goes on after the large key frame: {before:?}");
    assert_eq!(frames[..change].iter().filter(|frame| frame.number == before.number).count(), 80);
    assert!(frames[change..].iter().all(|frame| frame.size.0 == 160));
    assert!(frames.len() - change >= 50, "{}", frames.len() - change);
}
