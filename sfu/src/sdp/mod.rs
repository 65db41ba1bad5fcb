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
    /// An answer that does not fit the offer, or one where none is expected.
    #[error("the answer does not fit the offer")]
    Mismatch,
}
