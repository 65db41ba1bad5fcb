//! The wire format: STUN messages, `ChannelData`, and both in a byte stream.
//!
//! `stun-types` decodes and encodes messages; this module adds what that crate leaves to its caller: a strict
//! check of lengths before anything is parsed, TURN's attributes, and integrity with every combination of
//! algorithms that RFC 8489 allows.

pub mod attribute;
mod builder;
mod channel_data;
mod check;
mod frame;
mod integrity;
mod request;

pub use builder::{MessageBuilder, ReplyTo, TransactionId};
pub use channel_data::{CHANNEL_NUMBERS, ChannelData, DataPrefix};
pub(crate) use check::MAX_REQUEST;
pub use check::{Kind, Malformed, attributes, check_stun, classify, message_type};
pub use frame::{Frame, FrameError, next_frame};
pub(crate) use integrity::userhash;
pub use integrity::{IntegrityAlgorithm, Key, PasswordAlgorithm};
pub(crate) use request::BadAttribute;
pub use request::{AddressFamily, ParseError, Request, SendIndication};

/// Methods of RFC 8489, RFC 8656 and RFC 6062.
pub mod method {
    /// RFC 8489, section 18.2.
    pub const BINDING: u16 = 0x001;
    /// RFC 8656, section 18.
    pub const ALLOCATE: u16 = 0x003;
    /// RFC 8656, section 18.
    pub const REFRESH: u16 = 0x004;
    /// RFC 8656, section 18; an indication only.
    pub const SEND: u16 = 0x006;
    /// RFC 8656, section 18; an indication only.
    pub const DATA: u16 = 0x007;
    /// RFC 8656, section 18.
    pub const CREATE_PERMISSION: u16 = 0x008;
    /// RFC 8656, section 18.
    pub const CHANNEL_BIND: u16 = 0x009;
    /// RFC 6062, section 6.1.
    pub const CONNECT: u16 = 0x00a;
    /// RFC 6062, section 6.1.
    pub const CONNECTION_BIND: u16 = 0x00b;
    /// RFC 6062, section 6.1; an indication only.
    pub const CONNECTION_ATTEMPT: u16 = 0x00c;
}
