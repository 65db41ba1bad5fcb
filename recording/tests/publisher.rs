//! Recordings of simulated publishers in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test code"
)]
#![allow(clippy::disallowed_methods, reason = "one reading of the clock is the origin of the virtual time")]

use std::io::Cursor;
use std::time::{Duration, Instant};

use mp4_atom::{Codec as Entry, Decode, Moof, Moov};
use proptest::prelude::*;
use recording::container::measure::{measure, picture_size};
use recording::container::{Container, HEAD_LEN, Lane};
use recording::{Output, Packet, Recording, Report};
use sfu::Rotation;
use sfu::codec::Codec;

const H264: Codec = Codec::H264 { profile: 0x42, constraints: 0xe0 };
/// 640x360, the same with another level, and 1280x720.
const SPS: [&[u8]; 3] = [
    &[0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00],
    &[0x67, 0x42, 0xc0, 0x1f, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00],
    &[0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00],
];
const PPS: &[u8] = &[0x68, 0xce, 0x38, 0x80];
const SOUND: [u8; 4] = [0xf8, 1, 2, 3];

/// A recording with its own clock, and the files that it has written.
struct World {
    start: Instant,
    now: Duration,
    recording: Recording,
    files: Vec<File>,
    wishes: usize,
    /// The rotation in the next packets, if any.
    rotation: Option<Rotation>,
    position: [u64; 2],
}

#[derive(Default)]
struct File {
    container: Option<Container>,
    bytes: Vec<u8>,
    ended: Option<Duration>,
    rotation: Rotation,
}

/// A sample of a file: its start and duration in milliseconds, and its bytes.
type Sample = (f64, f64, Vec<u8>);

impl World {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            now: Duration::ZERO,
            recording: Recording::new(start),
            files: Vec::new(),
            wishes: 0,
            rotation: None,
            position: [1 << 20; 2],
        }
    }

    fn publish(&mut self, lanes: &[Lane]) {
        for lane in lanes {
            self.recording.add_track(name(*lane).into(), *lane);
        }
    }

    fn tick(&mut self) {
        self.recording.handle_timeout(self.start + self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.recording.poll_output() {
            match output {
                Output::Begin { container, rotation, head, .. } => {
                    assert_eq!(head.len(), HEAD_LEN);
                    self.files.push(File { container: Some(container), bytes: head, ended: None, rotation });
                }
                Output::Append(bytes) => self.files.last_mut().unwrap().bytes.extend(bytes),
                Output::Head(head) => {
                    assert_eq!(head.len(), HEAD_LEN);
                    self.files.last_mut().unwrap().bytes[..HEAD_LEN].copy_from_slice(&head);
                }
                Output::Keyframe(track) => {
                    assert_eq!(&*track, "video");
                    self.wishes += 1;
                }
                Output::End { duration, .. } => self.files.last_mut().unwrap().ended = Some(duration),
            }
        }
    }

    fn finish(&mut self) -> &File {
        self.recording.finish(self.start + self.now);
        self.drain();
        assert!(self.files.iter().all(|file| file.ended.is_some()));
        self.files.last().unwrap()
    }

    fn send(&mut self, lane: Lane, generation: u32, timestamp: u32, codec: Codec, payload: &[u8]) {
        let position = &mut self.position[lane as usize];
        *position += 1;
        let position = *position;
        self.send_at(lane, position, generation, timestamp, codec, payload);
    }

    fn send_at(
        &mut self,
        lane: Lane,
        position: u64,
        generation: u32,
        timestamp: u32,
        codec: Codec,
        payload: &[u8],
    ) {
        let at = self.start + self.now;
        let packet = Packet {
            at,
            position,
            generation,
            timestamp,
            marker: true,
            rotation: self.rotation,
            codec,
            payload: payload.into(),
        };
        self.recording.handle_packet(at, name(lane), packet);
    }

    /// Sends 20 ms of a publisher with audio and 25 pictures per second: audio takes 10 ms to arrive, the
    /// picture `delay` milliseconds.
    fn step(&mut self, stream: Stream, at: u32) {
        if stream.sound {
            self.send(Lane::Audio, stream.generation, stream.base.wrapping_add(at * 48), Codec::Opus, &SOUND);
        }
        if stream.picture && at.is_multiple_of(40) {
            let made = at.wrapping_sub(stream.delay);
            let timestamp = stream.base.wrapping_add(made.wrapping_mul(90));
            let payload = if stream.key { key(stream.size) } else { vec![0x41, 9] };
            self.send(Lane::Video, stream.generation, timestamp, H264, &payload);
        }
        if at % 1_000 == 500 {
            // Sender reports with the publisher's wall clock at the capture time.
            let ntp = |millis: u32| (u64::from(millis + 100_000) << 32) / 1_000;
            let Stream { generation, base, .. } = stream;
            let sound = Report { generation, ntp: ntp(at), timestamp: base.wrapping_add(at * 48) };
            self.recording.handle_report("audio", sound);
            let picture = Report { generation, ntp: ntp(at), timestamp: base.wrapping_add(at * 90) };
            self.recording.handle_report("video", picture);
        }
        self.tick();
        self.now += Duration::from_millis(20);
    }
}

#[derive(Clone, Copy)]
struct Stream {
    generation: u32,
    base: u32,
    sound: bool,
    picture: bool,
    key: bool,
    size: usize,
    /// The additional delay of pictures relative to audio of the same time, in milliseconds.
    delay: u32,
}

const BOTH: Stream =
    Stream { generation: 0, base: 0xffff_0000, sound: true, picture: true, key: false, size: 0, delay: 0 };

fn name(lane: Lane) -> &'static str {
    match lane {
        Lane::Video => "video",
        Lane::Audio => "audio",
    }
}

/// A key frame with its parameter sets, in one packet.
fn key(size: usize) -> Vec<u8> {
    let mut out = vec![0x78];
    for unit in [SPS[size], PPS, &[0x65, 7]] {
        out.extend((unit.len() as u16).to_be_bytes());
        out.extend(unit);
    }
    out
}

/// The samples of a lane, with a check that each fragment is complete.
fn samples(file: &File, lane: Lane) -> Vec<Sample> {
    let mut out = Vec::new();
    let mut rest = &file.bytes[HEAD_LEN..];
    while !rest.is_empty() {
        let moof_len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let moof = Moof::decode(&mut &rest[..moof_len]).unwrap();
        let mdat_len = u32::from_be_bytes(rest[moof_len..moof_len + 4].try_into().unwrap()) as usize;
        for traf in moof.traf.iter().filter(|traf| traf.tfhd.track_id == lane.number()) {
            let millis = |ticks: u64| ticks as f64 * 1_000.0 / f64::from(lane.timescale());
            let mut time = traf.tfdt.as_ref().unwrap().base_media_decode_time;
            for trun in &traf.trun {
                let mut at = usize::try_from(trun.data_offset.unwrap()).unwrap();
                for sample in &trun.samples {
                    let (len, duration) =
                        (sample.size.unwrap() as usize, u64::from(sample.duration.unwrap()));
                    out.push((millis(time), millis(duration), rest[at..at + len].to_vec()));
                    time += duration;
                    at += len;
                }
            }
        }
        rest = &rest[moof_len + mdat_len..];
    }
    out
}

fn moov(file: &File) -> Moov {
    let ftyp_len = u32::from_be_bytes(file.bytes[..4].try_into().unwrap()) as usize;
    Moov::decode(&mut &file.bytes[ftyp_len..HEAD_LEN]).unwrap()
}

fn assert_near(a: f64, b: f64, by: f64) {
    assert!((a - b).abs() <= by, "{a} is not {b} by {by}");
}

#[test]
fn reports_bring_sound_and_picture_together() {
    let mut world = World::new();
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (200..10_000).step_by(20) {
        world.step(Stream { key: at == 200, delay: 120, ..BOTH }, at);
    }
    let file = world.finish();
    let (pictures, sounds) = (samples(file, Lane::Video), samples(file, Lane::Audio));
    // The first picture was captured 120 ms before the audio that arrived with it.
    assert_near(sounds[0].0, 120.0, 1.0);
    assert_eq!(pictures.len(), 245);
    let last = pictures.last().unwrap();
    assert_near(last.0, 40.0 * 244.0, 2.0);
    for pair in sounds.windows(2) {
        assert_near(pair[0].0 + pair[0].1, pair[1].0, 0.01);
    }
    assert_near(file.ended.unwrap().as_secs_f64() * 1_000.0, 120.0 + 9_800.0, 30.0);
}

#[test]
fn a_pause_by_mute_is_silence_and_no_shift() {
    let mut world = World::new();
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (0..10_000).step_by(20) {
        world.step(Stream { key: at == 0, sound: !(3_000..7_000).contains(&at), ..BOTH }, at);
    }
    let sounds = samples(world.finish(), Lane::Audio);
    let heard: Vec<_> = sounds.iter().filter(|(_, _, data)| *data == SOUND).collect();
    assert_eq!(heard.len(), 300);
    assert_near(heard[149].0, 2_980.0, 1.0);
    assert_near(heard[150].0, 7_000.0, 1.0);
    assert_eq!(sounds.len(), 500, "the pause is filled");
    for pair in sounds.windows(2) {
        assert_near(pair[0].0 + pair[0].1, pair[1].0, 0.01);
    }
}

#[test]
fn a_publisher_that_reconnects_goes_on_in_the_same_file_in_time() {
    let mut world = World::new();
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (0..4_000).step_by(20) {
        world.step(Stream { key: at == 0, ..BOTH }, at);
    }
    world.recording.remove_track("video");
    world.recording.remove_track("audio");
    for _ in 0..100 {
        world.tick();
        world.now += Duration::from_millis(20);
    }
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (6_000..9_000).step_by(20) {
        world.step(Stream { key: at == 6_000, base: 12_345, generation: 1, ..BOTH }, at);
    }
    assert_eq!(world.files.len(), 1);
    let file = world.finish();
    let pictures = samples(file, Lane::Video);
    assert_near(pictures[99].0, 3_960.0, 2.0);
    assert_near(pictures[100].0, 6_000.0, 40.0);
    let sounds = samples(file, Lane::Audio);
    let back = sounds.iter().filter(|(_, _, data)| *data == SOUND).nth(200).unwrap();
    assert_near(back.0, 6_000.0, 40.0);
    assert_near(file.ended.unwrap().as_secs_f64(), 9.0, 0.1);
}

#[test]
fn another_size_is_told_in_the_stream() {
    let mut world = World::new();
    world.publish(&[Lane::Video]);
    for at in (0..4_000).step_by(20) {
        let size = usize::from(at >= 2_000);
        world.step(Stream { key: at % 1_000 == 0, sound: false, size, ..BOTH }, at);
        if at == 1_900 {
            let entry = &moov(&world.files[0]).trak[0].mdia.minf.stbl.stsd.codecs[0];
            assert!(matches!(entry, Entry::Avc1(_)), "{entry:?}");
        }
    }
    let file = world.finish();
    let entry = &moov(file).trak[0].mdia.minf.stbl.stsd.codecs[0];
    assert!(matches!(entry, Entry::Avc3(avc3) if avc3.avcc.sequence_parameter_sets == [SPS[0]]), "{entry:?}");
    let pictures = samples(file, Lane::Video);
    let with_sets: Vec<_> =
        pictures.iter().filter(|(_, _, data)| data[4] == 0x67).map(|(at, ..)| *at).collect();
    assert_eq!(with_sets, [0.0, 1_000.0, 2_000.0, 3_000.0], "every key frame");
}

/// The sizes in a file's sample entry and track header, and its first sequence parameter set.
fn shown(file: &File) -> ((u16, u16), (u16, u16), Vec<u8>) {
    let moov = moov(file);
    let trak = &moov.trak[0];
    let (visual, avcc) = match &trak.mdia.minf.stbl.stsd.codecs[0] {
        Entry::Avc1(entry) => (&entry.visual, &entry.avcc),
        Entry::Avc3(entry) => (&entry.visual, &entry.avcc),
        other => panic!("{other:?}"),
    };
    let display = (trak.tkhd.width.integer(), trak.tkhd.height.integer());
    ((visual.width, visual.height), display, avcc.sequence_parameter_sets[0].clone())
}

#[test]
fn a_picture_that_grows_makes_the_file_as_large_as_it_gets() {
    for sizes in [[0, 2, 0], [0, 0, 2], [2, 0, 0]] {
        let mut world = World::new();
        world.publish(&[Lane::Video]);
        for at in (0..6_000_u32).step_by(20) {
            let size = sizes[at as usize / 2_000];
            world.step(Stream { key: at % 1_000 == 0, sound: false, size, ..BOTH }, at);
        }
        let file = world.finish();
        assert_eq!(shown(file), ((1_280, 720), (1_280, 720), SPS[2].to_vec()), "{sizes:?}");
        // The head describes one picture only: each key frame contains its own parameter sets.
        let keys = samples(file, Lane::Video).into_iter().filter(|(_, _, data)| data[4] == 0x67);
        let sets: Vec<_> = keys.map(|(_, _, data)| data[4..4 + SPS[0].len()].to_vec()).collect();
        let expected: Vec<_> =
            sizes.iter().flat_map(|size| [SPS[*size].to_vec(), SPS[*size].to_vec()]).collect();
        assert_eq!(sets, expected);
        assert_eq!(world.files.len(), 1);
    }
}

/// A VP8 key frame of this size.
fn vp8(width: u16, height: u16) -> Vec<u8> {
    let mut frame = vec![0x10, 0, 0, 0, 0x9d, 0x01, 0x2a];
    frame.extend(width.to_le_bytes());
    frame.extend(height.to_le_bytes());
    frame
}

#[test]
fn webm_says_the_size_of_its_largest_picture_too() {
    let mut world = World::new();
    world.publish(&[Lane::Video]);
    for at in (0..4_000_u32).step_by(20) {
        if at % 40 == 0 {
            // A phone that is rotated in between: width and height always belong to the same picture.
            let (width, height) = [(320, 180), (1_280, 720), (540, 960), (320, 180)][at as usize / 1_000];
            world.send(Lane::Video, 0, BOTH.base.wrapping_add(at * 90), Codec::Vp8, &vp8(width, height));
        }
        world.step(Stream { picture: false, sound: false, ..BOTH }, at);
    }
    let file = world.finish();
    assert_eq!(picture_size(&mut Cursor::new(&file.bytes)).unwrap(), Some((1_280, 720)));
}

#[test]
fn a_phone_that_is_held_upright_is_recorded_upright() {
    let turns = [Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];
    for rotation in turns {
        let mut world = World::new();
        world.publish(&[Lane::Video, Lane::Audio]);
        for at in (0..3_000).step_by(20) {
            // Only the packets of the first picture contain the rotation.
            world.rotation = (at == 0).then_some(rotation);
            world.step(Stream { key: at == 0, ..BOTH }, at);
        }
        let file = world.finish();
        assert_eq!(file.rotation, rotation);
        let matrix = &moov(file).trak[0].tkhd.matrix;
        // The corner that is at the top left after the rotation, and the opposite one.
        let turned = |x: i32, y: i32| {
            let place = |a: i32, c: i32, move_by: i32| (a >> 16) * x + (c >> 16) * y + (move_by >> 16);
            (place(matrix.a, matrix.c, matrix.x), place(matrix.b, matrix.d, matrix.y))
        };
        let corners = match rotation {
            Rotation::Quarter => [turned(0, 360), turned(640, 0)],
            Rotation::Half => [turned(640, 360), turned(0, 0)],
            _ => [turned(640, 0), turned(0, 360)],
        };
        let size = if rotation == Rotation::Half { (640, 360) } else { (360, 640) };
        assert_eq!(corners, [(0, 0), size], "{rotation:?}");
    }
}

#[test]
fn a_phone_that_is_turned_begins_another_file_with_a_key_frame() {
    let mut world = World::new();
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (0..8_000).step_by(20) {
        world.rotation = match at {
            0 => Some(Rotation::Quarter),
            4_000 | 4_200 => Some(Rotation::Upright),
            _ => None,
        };
        if at == 4_000 {
            world.wishes = 0;
        }
        world.step(Stream { key: at == 0 || at == 4_200, ..BOTH }, at);
        if at == 4_040 {
            assert_eq!(world.wishes, 1, "a key frame is asked for");
        }
    }
    world.finish();
    let turns: Vec<_> = world.files.iter().map(|file| file.rotation).collect();
    assert_eq!(turns, [Rotation::Quarter, Rotation::Upright]);
    let lengths: Vec<_> = world.files.iter().map(|file| file.ended.unwrap().as_secs_f64()).collect();
    assert_near(lengths[0], 4.2, 0.1);
    assert_near(lengths[1], 3.8, 0.1);
}

#[test]
fn a_track_that_comes_later_joins_the_file() {
    let mut world = World::new();
    world.publish(&[Lane::Audio]);
    for at in (0..3_000).step_by(20) {
        world.step(Stream { picture: false, ..BOTH }, at);
    }
    assert_eq!(moov(&world.files[0]).trak.len(), 1);
    world.publish(&[Lane::Video]);
    for at in (3_000..6_000).step_by(20) {
        world.step(Stream { key: at == 3_000, ..BOTH }, at);
    }
    assert_eq!(world.files.len(), 1);
    let file = world.finish();
    assert_eq!(moov(file).trak.len(), 2);
    assert_near(samples(file, Lane::Video)[0].0, 3_000.0, 2.0);
}

#[test]
fn what_does_not_fit_into_the_file_begins_another() {
    let mut world = World::new();
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (0..3_000).step_by(20) {
        world.step(Stream { key: at == 0, ..BOTH }, at);
    }
    for at in (3_000..6_000_u32).step_by(20) {
        if at % 40 == 0 {
            let vp8 = [0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
            world.send(Lane::Video, 0, BOTH.base.wrapping_add(at * 90), Codec::Vp8, &vp8);
        }
        world.step(Stream { picture: false, ..BOTH }, at);
    }
    world.finish();
    let kinds: Vec<_> = world.files.iter().map(|file| file.container.unwrap()).collect();
    assert_eq!(kinds, [Container::Mp4, Container::WebM]);
    assert_near(world.files[1].ended.unwrap().as_secs_f64(), 3.0, 0.1);
}

#[test]
fn who_changes_the_codec_as_the_recording_begins_gets_one_file() {
    let mut world = World::new();
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (0..4_000_u32).step_by(20) {
        let before = at < 500;
        if before && at % 40 == 0 {
            let vp8 = [0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
            world.send(Lane::Video, 0, BOTH.base.wrapping_add(at * 90), Codec::Vp8, &vp8);
        }
        world.step(Stream { key: at == 520, picture: !before, ..BOTH }, at);
    }
    let file = world.finish();
    assert_eq!(file.container, Some(Container::Mp4));
    let (pictures, sounds) = (samples(file, Lane::Video), samples(file, Lane::Audio));
    assert_eq!(pictures.len(), (4_000 - 520) / 40);
    assert_near(pictures[0].0, sounds[0].0, 20.0);
    assert_eq!(world.files.len(), 1);
}

#[test]
fn without_a_key_frame_nothing_is_shown_and_one_is_asked_for() {
    let mut world = World::new();
    world.publish(&[Lane::Video, Lane::Audio]);
    for at in (0..2_000).step_by(20) {
        world.step(BOTH, at);
    }
    assert!(world.files.is_empty());
    assert_eq!(world.wishes, 2);
    for at in (2_000..5_000).step_by(20) {
        world.step(BOTH, at);
    }
    assert_eq!(world.files.len(), 1, "the sound is not held up for ever");
    assert!(samples(&world.files[0], Lane::Video).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Some packets are lost and arrive again some time later, as after a retransmission request.
    #[test]
    fn what_is_sent_again_in_time_is_all_there(lost in prop::collection::vec((0_u64..100, 1_u64..30), 10..40)) {
        let mut world = World::new();
        world.publish(&[Lane::Video]);
        let mut late: Vec<(u64, u64)> = Vec::new();
        for picture in 0..100_u64 {
            for (original, _) in late.extract_if(.., |(_, due)| *due <= picture) {
                let payload = if original == 0 { key(0) } else { vec![0x41, original as u8] };
                world.send_at(Lane::Video, original, 0, original as u32 * 1_800, H264, &payload);
            }
            match lost.iter().find(|(original, _)| *original == picture) {
                Some((_, delay)) if picture > 0 => late.push((picture, picture + delay)),
                _ => {
                    let payload = if picture == 0 { key(0) } else { vec![0x41, picture as u8] };
                    world.send_at(Lane::Video, picture, 0, picture as u32 * 1_800, H264, &payload);
                }
            }
            world.tick();
            world.now += Duration::from_millis(20);
        }
        for (original, _) in late {
            world.send_at(Lane::Video, original, 0, original as u32 * 1_800, H264, &[0x41, original as u8]);
        }
        let file = world.finish();
        let pictures = samples(file, Lane::Video);
        prop_assert_eq!(pictures.len(), 100);
        for (at, (_, _, data)) in (1..100_u8).zip(&pictures[1..]) {
            prop_assert_eq!(data.last(), Some(&at));
        }
        prop_assert_eq!(world.recording.lost(), 0);
    }

    /// Wherever the file is truncated, exactly its complete fragments are found.
    #[test]
    fn a_file_cut_anywhere_is_whole_up_to_its_last_fragment(cut in 0.0_f64..1.0, vp8 in any::<bool>()) {
        let mut world = World::new();
        world.publish(&[Lane::Video, Lane::Audio]);
        for at in (0..5_000_u32).step_by(20) {
            if vp8 && at % 40 == 0 {
                let frame = [0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
                world.send(Lane::Video, 0, BOTH.base.wrapping_add(at * 90), Codec::Vp8, &frame);
            }
            world.step(Stream { key: at == 0, picture: !vp8, ..BOTH }, at);
        }
        let file = &world.files[0];
        let container = file.container.unwrap();
        let whole = measure(container, &mut Cursor::new(&file.bytes)).unwrap();
        prop_assert_eq!(whole.whole, file.bytes.len() as u64);
        // The part that has not been written yet is shorter than a fragment and a frame.
        prop_assert!(whole.duration >= Duration::from_millis(5_000 - 900), "{:?}", whole.duration);
        let len = HEAD_LEN + ((file.bytes.len() - HEAD_LEN) as f64 * cut) as usize;
        let measured = measure(container, &mut Cursor::new(&file.bytes[..len])).unwrap();
        prop_assert!(measured.whole <= len as u64);
        let again = measure(container, &mut Cursor::new(&file.bytes[..measured.whole as usize])).unwrap();
        prop_assert_eq!(measured, again);
        prop_assert!(measured.duration <= whole.duration);
        prop_assert_eq!(measured.duration.is_zero(), measured.whole == HEAD_LEN as u64);
        // Without its last byte, the last fragment is incomplete.
        if measured.whole > HEAD_LEN as u64 {
            let less = &file.bytes[..measured.whole as usize - 1];
            let shorter = measure(container, &mut Cursor::new(less)).unwrap();
            prop_assert!(shorter.whole < measured.whole && shorter.duration < measured.duration);
        }
    }
}
