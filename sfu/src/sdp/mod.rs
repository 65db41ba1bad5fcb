//! Session descriptions (RFC 8866, RFC 8829): what a client's says, reduced to what matters here, and ours in answer.
//!
//! `rtc-sdp` does the lexing; what the attributes mean is decided here, leniently where browsers are loose.

mod extension;
mod local;
mod remote;

pub use extension::{Extension, ExtensionMap};
pub(crate) use local::candidate_lines;
pub use local::{Direction, LocalDescription, LocalSection, Msid, SectionState, WrittenCodec};
pub use remote::{Feedback, OfferedCodec, RemoteDescription, RemoteFragment, RemoteSection, Setup};

use crate::codec::MediaKind;

/// Longest description that is read.
pub const MAX_LEN: usize = 64 * 1024;
/// Most media sections in a description.
pub const MAX_SECTIONS: usize = 64;

/// Why a description is refused. All are the client's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Longer than [`MAX_LEN`] or with more sections than [`MAX_SECTIONS`].
    #[error("the description is too large")]
    TooLarge,
    /// Not SDP.
    #[error("the description cannot be parsed")]
    Malformed,
    /// An attribute that WebRTC requires is missing or unusable.
    #[error("the description lacks a usable {0}")]
    Missing(&'static str),
    /// Nothing in it can be sent or received here.
    #[error("no media in common")]
    NothingInCommon,
    /// The client would send pictures or sound beside others, in no codec that is known here.
    #[error("none of the offered {} codecs can be served: {} are", .0.as_str(), served(*.0))]
    Unserved(MediaKind),
    /// Several sections that do not share one transport (RFC 9143).
    #[error("a description with more than one m-line needs `a=group:BUNDLE` with all of them")]
    Unbundled,
    /// An answer that does not fit the offer, or one where none is expected.
    #[error("the answer does not fit the offer")]
    Mismatch,
}

/// The codecs of a kind, for people.
fn served(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "Opus and RED over Opus",
        MediaKind::Video => "VP8, VP9, AV1 and H.264 with packetization-mode=1",
    }
}
