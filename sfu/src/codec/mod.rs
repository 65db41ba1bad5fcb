//! The parts of each codec's packets that a forwarder needs: the codec, the packets at which a decoder can start, and
//! the payload fields that belong to the stream rather than to the picture.

mod av1;
mod h264;
pub(crate) mod red;
pub(crate) mod vp8;
mod vp9;

use signaling_core::message::TrackKind;

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// The kind of audio tracks.
    Audio,
    /// The kind of video tracks.
    Video,
}

impl MediaKind {
    /// The media name in an m-line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl From<MediaKind> for TrackKind {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
        }
    }
}

/// A codec with the parameters that must match at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// Redundant audio over Opus (RFC 2198).
    Red,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9 {
        /// `profile-id`.
        profile: u8,
    },
    /// H.264 with packetization mode 1 (RFC 6184).
    H264 {
        /// `profile_idc` of `profile-level-id`.
        profile: u8,
        /// The constraint flags that follow it.
        constraints: u8,
    },
    /// AV1.
    Av1 {
        /// `profile`.
        profile: u8,
    },
}

impl Codec {
    /// Parses the encoding name and clock rate of an rtpmap and the format parameters.
    pub fn parse(name: &str, clock_rate: u32, fmtp: &str) -> Option<Self> {
        let number = |key: &str| parameter(fmtp, key).and_then(|value| value.parse::<u8>().ok());
        match (name.to_ascii_lowercase().as_str(), clock_rate) {
            ("opus", 48_000) => Some(Self::Opus),
            ("red", 48_000) => Some(Self::Red),
            ("vp8", 90_000) => Some(Self::Vp8),
            ("vp9", 90_000) => Some(Self::Vp9 { profile: number("profile-id").unwrap_or(0) }),
            ("av1", 90_000) => Some(Self::Av1 { profile: number("profile").unwrap_or(0) }),
            ("h264", 90_000) if number("packetization-mode") == Some(1) => {
                // The default is the Baseline profile (RFC 6184 section 8.1).
                let level = parameter(fmtp, "profile-level-id").unwrap_or("42000a");
                let byte = |at: usize| u8::from_str_radix(level.get(at..at + 2)?, 16).ok();
                Some(Self::H264 { profile: byte(0)?, constraints: byte(2)? })
            }
            _ => None,
        }
    }

    /// The rtpmap value, including the clock rate and channels.
    pub fn rtpmap(self) -> &'static str {
        match self {
            Self::Opus => "opus/48000/2",
            Self::Red => "red/48000/2",
            Self::Vp8 => "VP8/90000",
            Self::Vp9 { .. } => "VP9/90000",
            Self::H264 { .. } => "H264/90000",
            Self::Av1 { .. } => "AV1/90000",
        }
    }

    /// The short name of the codec, as reported to clients.
    pub fn name(self) -> &'static str {
        self.rtpmap().split('/').next().unwrap_or_default()
    }

    /// Audio or video.
    pub fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Red => MediaKind::Audio,
            _ => MediaKind::Video,
        }
    }

    /// The RTP clock rate in Hz.
    pub fn clock_rate(self) -> u32 {
        match self.kind() {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        }
    }

    /// Whether a receiver of `other` can decode this codec's stream. To a receiver of plain Opus, redundant audio is sent
    /// without the redundancy.
    pub fn is_readable_as(self, other: Self) -> bool {
        match (self, other) {
            (Self::H264 { profile: a, .. }, Self::H264 { profile: b, .. }) => a == b,
            (Self::Red, Self::Opus) => true,
            _ => self == other,
        }
    }

    /// The width and height in a packet at which a decoder can start; `None` if it contains none, or none that is read.
    pub(crate) fn picture_size(self, payload: &[u8]) -> Option<(u16, u16)> {
        match self {
            Self::Vp8 => vp8::picture_size(payload),
            _ => None,
        }
    }

    /// Whether a decoder can start at this packet, which is always true for audio.
    pub fn starts_picture(self, payload: &[u8]) -> bool {
        match self {
            Self::Opus | Self::Red => true,
            Self::Vp8 => vp8::starts_keyframe(payload),
            Self::Vp9 { .. } => vp9::starts_keyframe(payload),
            Self::H264 { .. } => h264::starts_keyframe(payload),
            Self::Av1 { .. } => av1::starts_keyframe(payload),
        }
    }
}

/// The value of one format parameter.
pub(crate) fn parameter<'a>(fmtp: &'a str, key: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case(key).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_what_browsers_offer() {
        let h264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
        assert_eq!(
            Codec::parse("H264", 90_000, h264),
            Some(Codec::H264 { profile: 0x42, constraints: 0xe0 })
        );
        assert_eq!(Codec::parse("H264", 90_000, "packetization-mode=0"), None);
        assert_eq!(Codec::parse("H264", 90_000, "packetization-mode=1;profile-level-id=é2e01f"), None);
        assert_eq!(Codec::parse("VP9", 90_000, "profile-id=2"), Some(Codec::Vp9 { profile: 2 }));
        assert_eq!(
            Codec::parse("AV1", 90_000, "level-idx=5; profile=0;tier=0"),
            Some(Codec::Av1 { profile: 0 })
        );
        assert_eq!(Codec::parse("opus", 48_000, ""), Some(Codec::Opus));
        assert_eq!(Codec::parse("PCMU", 8_000, ""), None);
    }
}
