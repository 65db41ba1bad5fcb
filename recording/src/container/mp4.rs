//! Fragmented MP4 (ISO/IEC 14496-12), written with `mp4-atom`.
//!
//! The sample entry of an H.264 file is `avc1` until its format changes; it then becomes `avc3` and describes the
//! largest picture. Every key frame contains its parameter sets; VP9 and AV1 encode their size in the stream.

use mp4_atom::{
    Audio, Av01, Av1c, Avc1, Avc3, Avcc, AvccExt, Codec, Compressor, Dinf, Dops, Dref, DrefEntry, Encode,
    FixedPoint, Free, Ftyp, Hdlr, Matrix, Mdat, Mdhd, Mdia, Mehd, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Opus,
    Smhd, Stbl, Stco, Stsc, Stsd, Stsz, Stts, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, Url,
    Visual, Vmhd, Vp09, VpcC, Zeroed,
};

use sfu::Rotation;

use super::{ContainerError, HEAD_LEN, Head, Lane, Sample};
use crate::format::{Format, ParameterSets, SequenceHeader, Vp9Format};

/// The seconds from 1904, the epoch of MP4, to 1970.
const EPOCH: u64 = 2_082_844_800;
/// `sample_depends_on` is 2, no other sample: a key frame.
const KEY: u32 = 0x0200_0000;
/// `sample_depends_on` is 1, other samples, and the sample is not a sync sample.
const DELTA: u32 = 0x0101_0000;
const MOVIE_TIMESCALE: u32 = 1_000;

/// Writes the fragments of one file.
#[derive(Debug, Default)]
pub struct Mp4 {
    sequence: u32,
}

impl Mp4 {
    pub(super) fn fragment(&mut self, video: &[Sample], audio: &[Sample]) -> Result<Vec<u8>, ContainerError> {
        self.sequence += 1;
        let lanes = [(Lane::Video, video), (Lane::Audio, audio)];
        let mut offset = 0;
        let mut moof = Moof { mfhd: Mfhd { sequence_number: self.sequence }, traf: Vec::new() };
        for (lane, samples) in lanes {
            let Some(first) = samples.first() else { continue };
            moof.traf.push(traf(lane, first.time, offset, samples)?);
            offset += samples.iter().map(|sample| sample.data.len()).sum::<usize>();
        }
        // Data offsets are relative to the start of the `moof` box, whose length is known only now
        // and does not depend on them.
        let base = encode(&moof)?.len() + 8;
        for trun in moof.traf.iter_mut().flat_map(|traf| &mut traf.trun) {
            let data_offset = trun.data_offset.unwrap_or(0);
            trun.data_offset =
                Some(data_offset.saturating_add_unsigned(u32::try_from(base).unwrap_or(u32::MAX)));
        }
        let mut out = encode(&moof)?;
        let data = lanes.iter().flat_map(|(_, samples)| *samples).flat_map(|sample| &sample.data);
        let mdat = Mdat { data: data.copied().collect() };
        mdat.encode(&mut out).map_err(|_| ContainerError::FragmentTooLarge)?;
        Ok(out)
    }

    #[allow(clippy::unused_self, reason = "as the other container has it")]
    pub(super) fn tail(&mut self) -> Vec<u8> {
        // Fragmented MP4 needs no tail.
        Vec::new()
    }
}

fn encode(atom: &impl Encode) -> Result<Vec<u8>, ContainerError> {
    let mut out = Vec::new();
    atom.encode(&mut out).map_err(|_| ContainerError::Value)?;
    Ok(out)
}

fn traf(lane: Lane, time: u64, offset: usize, samples: &[Sample]) -> Result<Traf, ContainerError> {
    let entries: Vec<_> = samples
        .iter()
        .map(|sample| TrunEntry {
            duration: Some(sample.duration),
            size: u32::try_from(sample.data.len()).ok(),
            flags: Some(if sample.is_key { KEY } else { DELTA }),
            cts: None,
        })
        .collect();
    let data_offset = i32::try_from(offset).map_err(|_| ContainerError::FragmentTooLarge)?;
    Ok(Traf {
        tfhd: Tfhd { track_id: lane.number(), default_base_is_moof: true, ..Tfhd::default() },
        tfdt: Some(Tfdt { base_media_decode_time: time }),
        trun: vec![Trun { data_offset: Some(data_offset), samples: entries.into() }],
        ..Traf::default()
    })
}

pub(super) fn head(head: &Head) -> Result<Vec<u8>, ContainerError> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let duration = head.duration.map_or(0, millis);
    let created = head.began_at + EPOCH;
    let mut traks = Vec::new();
    if let Some(format) = &head.video {
        traks.push(video_trak(head, format, created)?);
    }
    if head.audio {
        traks.push(audio_trak(created));
    }
    let trex = traks
        .iter()
        .map(|trak| Trex {
            track_id: trak.tkhd.track_id,
            default_sample_description_index: 1,
            ..Trex::default()
        })
        .collect();
    let moov = Moov {
        mvhd: Mvhd {
            creation_time: created,
            modification_time: created,
            timescale: MOVIE_TIMESCALE,
            duration: 0,
            next_track_id: 3,
            rate: FixedPoint::new(1, 0),
            volume: FixedPoint::new(1, 0),
            ..Mvhd::default()
        },
        mvex: Some(Mvex { mehd: (duration > 0).then_some(Mehd { fragment_duration: duration }), trex }),
        trak: traks,
        ..Moov::default()
    };
    let brands = [*b"iso6", *b"isom", *b"mp41"];
    let ftyp = Ftyp {
        major_brand: (*b"iso6").into(),
        minor_version: 512,
        compatible_brands: brands.map(Into::into).to_vec(),
    };
    let mut out = encode(&ftyp)?;
    moov.encode(&mut out).map_err(|_| ContainerError::Value)?;
    let room = HEAD_LEN.checked_sub(out.len() + 8).ok_or(ContainerError::HeadTooLarge)?;
    Free { zeroed: Zeroed::new(room) }.encode(&mut out).map_err(|_| ContainerError::Value)?;
    Ok(out)
}

fn video_trak(head: &Head, format: &Format, created: u64) -> Result<Trak, ContainerError> {
    let (width, height) = head.size;
    let visual = Visual {
        data_reference_index: 1,
        width,
        height,
        frame_count: 1,
        depth: 24,
        compressor: Compressor::default(),
        ..Visual::default()
    };
    let entry = match format {
        Format::H264(sets) if head.in_band => {
            Codec::Avc3(Avc3 { visual, avcc: avcc(sets)?, ..Avc3::default() })
        }
        Format::H264(sets) => Codec::Avc1(Avc1 { visual, avcc: avcc(sets)?, ..Avc1::default() }),
        Format::Vp9(format) => {
            Codec::Vp09(Vp09 { visual, vpcc: vpcc(*format, head.size), ..Vp09::default() })
        }
        Format::Av1(header) => Codec::Av01(Av01 { visual, av1c: av1c(header), ..Av01::default() }),
        Format::Vp8 { .. } | Format::Opus => return Err(ContainerError::Value),
    };
    let mut trak = trak(Lane::Video, entry, created);
    trak.tkhd.width = FixedPoint::new(width, 0);
    trak.tkhd.height = FixedPoint::new(height, 0);
    trak.tkhd.matrix = matrix(head.rotation, head.size);
    Ok(trak)
}

/// The matrix that rotates a picture of this size and moves it back to the origin (ISO/IEC 14496-12 section 6.2.2).
fn matrix(rotation: Rotation, (width, height): (u16, u16)) -> Matrix {
    const ONE: i32 = 1 << 16;
    let pixels = |count: u16| i32::from(count.cast_signed()) << 16;
    let plain = Matrix::default();
    match rotation {
        Rotation::Upright => plain,
        Rotation::Quarter => Matrix { a: 0, b: ONE, c: -ONE, d: 0, x: pixels(height), ..plain },
        Rotation::Half => Matrix { a: -ONE, d: -ONE, x: pixels(width), y: pixels(height), ..plain },
        Rotation::ThreeQuarters => Matrix { a: 0, b: -ONE, c: ONE, d: 0, y: pixels(width), ..plain },
    }
}

fn audio_trak(created: u64) -> Trak {
    let audio = Audio {
        data_reference_index: 1,
        channel_count: 2,
        sample_size: 16,
        sample_rate: FixedPoint::new(48_000, 0),
    };
    let dops = Dops {
        output_channel_count: 2,
        // The recording starts in the middle of the stream, so there is no encoder delay to skip.
        pre_skip: 0,
        input_sample_rate: 48_000,
        output_gain: 0,
        channel_mapping: None,
    };
    let mut trak = trak(Lane::Audio, Codec::Opus(Opus { audio, dops, btrt: None }), created);
    trak.tkhd.volume = FixedPoint::new(1, 0);
    trak
}

fn trak(lane: Lane, entry: Codec, created: u64) -> Trak {
    let is_video = lane == Lane::Video;
    Trak {
        tkhd: Tkhd {
            creation_time: created,
            modification_time: created,
            track_id: lane.number(),
            alternate_group: u16::from(!is_video),
            enabled: true,
            in_movie: true,
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                creation_time: created,
                modification_time: created,
                timescale: lane.timescale(),
                duration: 0,
                language: "und".to_owned(),
            },
            hdlr: Hdlr {
                handler: if is_video { *b"vide" } else { *b"soun" }.into(),
                name: if is_video { "Video" } else { "Audio" }.to_owned(),
            },
            minf: Minf {
                vmhd: is_video.then(Vmhd::default),
                smhd: (!is_video).then(Smhd::default),
                dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } },
                stbl: Stbl {
                    stsd: Stsd { codecs: vec![entry] },
                    stts: Stts::default(),
                    stsc: Stsc::default(),
                    stsz: Stsz::default(),
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

fn avcc(sets: &ParameterSets) -> Result<Avcc, ContainerError> {
    let Some([_, profile, compatibility, level, ..]) = sets.sps.last().map(Vec::as_slice) else {
        return Err(ContainerError::Value);
    };
    let (chroma, luma_bits, chroma_bits) = sets.samples;
    // Only the High profiles have these fields (ISO/IEC 14496-15 section 5.3.3.1.2).
    let is_high = [100, 110, 122, 144].contains(profile);
    Ok(Avcc {
        configuration_version: 1,
        avc_profile_indication: *profile,
        profile_compatibility: *compatibility,
        avc_level_indication: *level,
        length_size: 4,
        sequence_parameter_sets: sets.sps.clone(),
        picture_parameter_sets: sets.pps.clone(),
        ext: is_high.then(|| AvccExt {
            chroma_format: chroma,
            bit_depth_luma: luma_bits,
            bit_depth_chroma: chroma_bits,
            sequence_parameter_sets_ext: Vec::new(),
        }),
    })
}

fn vpcc(format: Vp9Format, size: (u16, u16)) -> VpcC {
    VpcC {
        profile: format.profile,
        level: vp9_level(size),
        bit_depth: format.bit_depth,
        chroma_subsampling: format.subsampling,
        video_full_range_flag: format.full_range,
        // All three are unspecified: the stream contains them.
        color_primaries: 2,
        transfer_characteristics: 2,
        matrix_coefficients: 2,
        codec_initialization_data: Vec::new(),
    }
}

/// The lowest VP9 level for pictures of this size (VP Codec ISO Media File Format Binding).
fn vp9_level((width, height): (u16, u16)) -> u8 {
    match u32::from(width) * u32::from(height) {
        0..=36_864 => 10,
        36_865..=73_728 => 11,
        73_729..=122_880 => 20,
        122_881..=245_760 => 21,
        245_761..=552_960 => 30,
        552_961..=983_040 => 31,
        983_041..=2_228_224 => 40,
        2_228_225..=8_912_896 => 50,
        _ => 60,
    }
}

fn av1c(header: &SequenceHeader) -> Av1c {
    Av1c {
        seq_profile: header.profile,
        seq_level_idx_0: header.level,
        seq_tier_0: header.high_tier,
        high_bitdepth: header.bit_depth > 8,
        twelve_bit: header.bit_depth == 12,
        monochrome: header.monochrome,
        chroma_subsampling_x: header.subsampling.0,
        chroma_subsampling_y: header.subsampling.1,
        chroma_sample_position: header.chroma_position,
        initial_presentation_delay: None,
        config_obus: header.obu.clone(),
    }
}
