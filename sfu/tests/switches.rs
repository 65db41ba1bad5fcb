//! What a subscriber gets over random changes of layers is a stream that a decoder of others reads without an error, picture
//! by picture the same as the publisher's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]
#![allow(clippy::cast_possible_truncation, clippy::print_stdout, reason = "test code")]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{PICTURE, World};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::testing::{ClientKind, Received};
use signaling_core::message::{Attention, Role};
use signaling_core::{MediaDemand, MediaEvent};

const LAYERS: [(&str, u16, u16); 3] = [("q", 160, 96), ("h", 320, 192), ("f", 640, 384)];
/// Pictures encoded in each layer, which are sent in a loop. The first one of each group is a key frame.
const PICTURES: usize = 240;
const GROUP: usize = 12;
const PACKET_BYTES: usize = 1_000;

fn ffmpeg(arguments: &[&str]) -> String {
    let mut run = Command::new("ffmpeg");
    run.args(["-nostdin", "-v", "error"]).args(arguments).stdin(Stdio::null());
    let output = run.output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The checksum of each decoded picture, in its own size.
fn decode(file: &Path) -> Vec<String> {
    let file = file.to_str().unwrap();
    let output = ["-autoscale", "0", "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let sums = ffmpeg(&[["-xerror", "-i", file].as_slice(), &output].concat());
    let lines = sums.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// Encodes a layer; its pictures, and the checksum of each one when decoded.
fn encode(folder: &Path, (rid, width, height): (&str, u16, u16)) -> (Vec<Vec<u8>>, Vec<String>) {
    let file = folder.join(format!("{rid}.ivf"));
    let source = format!("testsrc2=size={width}x{height}:rate=30:duration={}", PICTURES / 30);
    let group = GROUP.to_string();
    let path = file.to_str().unwrap();
    ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        &source,
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-g",
        &group,
        "-keyint_min",
        &group,
        "-auto-alt-ref",
        "0",
        "-lag-in-frames",
        "0",
        path,
    ]);
    let bytes = std::fs::read(&file).unwrap();
    let (mut pictures, mut rest) = (Vec::new(), &bytes[32..]);
    while !rest.is_empty() {
        let len = u32::from_le_bytes(*rest.first_chunk().unwrap()) as usize;
        pictures.push(rest[12..12 + len].to_vec());
        rest = &rest[12 + len..];
    }
    assert_eq!(pictures.len(), PICTURES);
    for (at, picture) in pictures.iter().enumerate() {
        assert_eq!(is_key(picture), at % GROUP == 0, "picture {at}");
    }
    (pictures, decode(&file))
}

fn is_key(picture: &[u8]) -> bool {
    picture[0] & 1 == 0
}

fn width_of(key: &[u8]) -> u16 {
    u16::from_le_bytes([key[6], key[7]]) & 0x3fff
}

/// The payloads of a picture, with 15-bit picture ids (RFC 7741 section 4.2).
fn packetize(picture: &[u8], id: u16) -> Vec<Vec<u8>> {
    let [high, low] = (id | 0x8000).to_be_bytes();
    let chunks = picture.chunks(PACKET_BYTES).enumerate();
    chunks
        .map(|(at, chunk)| [&[if at == 0 { 0x90 } else { 0x80 }, 0x80, high, low], chunk].concat())
        .collect()
}

/// Joins packets into pictures, and checks that numbers, times and picture ids go on without a gap.
fn depacketize(packets: &[Received]) -> Vec<Vec<u8>> {
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    let mut last: Option<(&Received, u16)> = None;
    for packet in packets {
        let id = u16::from_be_bytes([packet.payload[2], packet.payload[3]]) & 0x7fff;
        if let Some((before, last_id)) = last {
            assert_eq!(packet.sequence, before.sequence.wrapping_add(1), "no number is missing");
            let ahead = packet.timestamp.wrapping_sub(before.timestamp);
            if before.marker {
                assert!((1..=90_000).contains(&ahead), "{ahead} ticks later");
                assert_eq!(id, (last_id + 1) & 0x7fff, "picture ids go on");
            } else {
                assert_eq!((ahead, id), (0, last_id), "of the same picture");
            }
        }
        if last.is_none_or(|(before, _)| before.marker) {
            assert_eq!(packet.payload[0], 0x90, "a picture begins");
            pictures.push(Vec::new());
        }
        pictures.last_mut().unwrap().extend_from_slice(&packet.payload[4..]);
        last = Some((packet, id));
    }
    pictures
}

fn write_ivf(file: &Path, pictures: &[Vec<u8>]) {
    let mut bytes = b"DKIF\0\0\x20\0VP80".to_vec();
    bytes.extend([640_u16, 384].iter().flat_map(|side| side.to_le_bytes()));
    bytes.extend([30_u32, 1, pictures.len() as u32, 0].iter().flat_map(|number| number.to_le_bytes()));
    for (at, picture) in pictures.iter().enumerate() {
        bytes.extend((picture.len() as u32).to_le_bytes());
        bytes.extend((at as u64).to_le_bytes());
        bytes.extend(picture);
    }
    std::fs::write(file, bytes).unwrap();
}

fn switch_at_random(seed: u64, switches: usize) {
    let folder = tempfile::tempdir().unwrap();
    let layers: Vec<_> = LAYERS.iter().map(|layer| encode(folder.path(), *layer)).collect();
    let known: HashSet<&String> = layers.iter().flat_map(|(_, sums)| sums).collect();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(seed);
    let room = World::room("switches");
    let broadcaster = world.join(&room, Role::Broadcaster);
    let camera = world.client(ClientKind::Publisher);
    world.clients[camera].send_in_layers(&LAYERS.map(|(rid, width, _)| (rid, width)));
    world.publish_from(&room, broadcaster, camera, 0);
    world.sending.remove(&camera);
    let viewer = world.join(&room, Role::Viewer);
    world.run(Duration::from_secs(1));
    let tracks = world.events.iter().find_map(|(_, event)| match event {
        MediaEvent::Tracks { tracks, .. } => Some(tracks.clone()),
        _ => None,
    });
    let track: Arc<str> = tracks.unwrap().into_iter().find(|track| track.simulcast).unwrap().track.into();
    let client = world.subscribers[&(room.clone(), viewer)];
    world.clients[client].kept = Some(Vec::new());

    let (mut picture, mut changes, mut last_width, mut next_change) = (0_u32, 0, 0, 0);
    while changes < switches {
        for ((rid, ..), (pictures, _)) in LAYERS.iter().zip(&layers) {
            let payloads = packetize(&pictures[picture as usize % PICTURES], (picture & 0x7fff) as u16);
            for (at, payload) in payloads.iter().enumerate() {
                world.clients[camera].send_payload(rid, picture, at + 1 == payloads.len(), payload.clone());
            }
        }
        if picture.is_multiple_of(15) {
            let now = world.now;
            world.clients[camera].send_reports(now);
        }
        if picture == next_change {
            let (_, width, _) = LAYERS[rng.next_u32() as usize % 3];
            changes += usize::from(width != last_width);
            last_width = width;
            let attention = Attention { max_width: Some(width.into()), ..Attention::default() };
            world
                .demand(&room, MediaDemand::Subscribe { peer: viewer, track: Arc::clone(&track), attention });
            next_change += 5 + rng.next_u32() % 40;
        }
        picture += 1;
        world.run(PICTURE);
    }
    let received = world.clients[client].kept.take().unwrap();
    let pictures = depacketize(&received);
    let widths: Vec<_> = pictures.iter().filter(|it| is_key(it)).map(|key| width_of(key)).collect();
    let layer_changes = widths.windows(2).filter(|pair| pair[0] != pair[1]).count();
    println!("{} pictures, {changes} wishes, {layer_changes} changes of layer", pictures.len());
    // Some wishes are taken back before a key frame comes.
    assert!(layer_changes * 2 > switches, "{layer_changes} changes of {switches}");
    let file = folder.path().join("received.ivf");
    write_ivf(&file, &pictures);
    let decoded = decode(&file);
    assert_eq!(decoded.len(), pictures.len(), "every picture is decoded");
    let wrong = decoded.iter().filter(|sum| !known.contains(sum)).count();
    assert_eq!(wrong, 0, "of {} pictures: each is one that the publisher has encoded", decoded.len());
}

#[test]
fn random_changes_of_layers_decode() {
    switch_at_random(1, 25);
}

#[test]
#[ignore = "long: two minutes"]
fn two_thousand_random_changes_of_layers_decode() {
    switch_at_random(2, 2_000);
}
