//! Session descriptions (RFC 8866, RFC 8829): parsing of the client's, reduced to the parts in use,
//! and writing of the server's.
//!
//! `rtc-sdp` does the lexing; the attributes are interpreted here, leniently where browsers deviate.

mod attribute;
mod codec;
mod extension;
mod fragment;
mod local;
mod remote;

pub use attribute::{Direction, Setup};
pub use codec::{Feedback, OfferedCodec, WrittenCodec};
pub use extension::{Extension, ExtensionMap};
pub use fragment::RemoteFragment;
pub(crate) use local::candidate_lines;
pub use local::{LocalDescription, LocalSection, Msid, SectionState};
pub use remote::{RemoteDescription, RemoteSection};

use crate::codec::MediaKind;

/// The longest description that is parsed: the largest `signal` that a client may send.
pub const MAX_LEN: usize = 256 * 1024;
/// Maximum number of media sections in a description: the cameras and microphones of a hundred publishers, and some
/// shared screens. A browser's answer to as many has less than [`MAX_LEN`].
pub const MAX_SECTIONS: usize = 224;

/// Why a description is refused. Each is an error of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// The description is longer than [`MAX_LEN`] or has more than [`MAX_SECTIONS`] sections.
    #[error("the description is too large")]
    TooLarge,
    /// The description is not valid SDP.
    #[error("the description cannot be parsed")]
    Malformed,
    /// An attribute that WebRTC requires is missing or unusable.
    #[error("the description lacks a usable {0}")]
    Missing(&'static str),
    /// No section can be sent or received by the server.
    #[error("no media in common")]
    NothingInCommon,
    /// The client offers to send audio or video only in unsupported codecs, next to sections that can be served.
    #[error("none of the offered {} codecs can be served: {} are", .0.as_str(), served(*.0))]
    Unserved(MediaKind),
    /// The sections do not all share one transport (RFC 9143).
    #[error("a description with more than one m-line needs `a=group:BUNDLE` with all of them")]
    Unbundled,
    /// The answer does not fit the offer, or no answer is expected.
    #[error("the answer does not fit the offer")]
    Mismatch,
}

/// The supported codecs of a kind, as text for the error message.
fn served(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "Opus and RED over Opus",
        MediaKind::Video => "VP8, VP9, AV1 and H.264 with packetization-mode=1",
    }
}
