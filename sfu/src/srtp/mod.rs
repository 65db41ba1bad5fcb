//! SRTP and SRTCP (RFC 3711, RFC 7714) over keys that a DTLS handshake exported.
//!
//! Both directions work in place. A sender's packet index is an argument: whoever numbers the packets of a
//! stream guarantees that no index is sealed twice with different content, since that would repeat a nonce.

mod cipher;
mod replay;

use std::collections::HashMap;

pub use dimpl::SrtpProfile;

use crate::wire::{put, u16_at, u32_at};
use cipher::Cipher;
use replay::ReplayWindow;

/// The most bytes that sealing adds to an RTP packet.
pub const RTP_OVERHEAD: usize = 16;
/// The most bytes that sealing adds to an RTCP packet.
pub const RTCP_OVERHEAD: usize = 20;
/// Streams of one peer whose replay windows are kept; packets of further SSRCs are refused.
pub const MAX_STREAMS: usize = 128;

/// Why a packet was not opened or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// Shorter than its headers and tag.
    #[error("packet is too short")]
    Truncated,
    /// The tag does not match.
    #[error("authentication failed")]
    Authentication,
    /// Seen before, or older than the window.
    #[error("packet is a replay or too old")]
    Replayed,
    /// The peer used more SSRCs than [`MAX_STREAMS`].
    #[error("too many streams")]
    TooManyStreams,
    /// The exported keys do not have the profile's length, or the profile is unknown.
    #[error("keying material does not fit the profile")]
    KeyingMaterial,
}

/// Seals what is sent to one peer.
pub struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

/// Opens what one peer sends.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    streams: HashMap<u32, Stream, foldhash::fast::RandomState>,
}

#[derive(Default)]
struct Stream {
    /// Highest index authenticated, with its rollover counter in the upper bits; `None` before the first.
    highest: Option<u64>,
    rtp: ReplayWindow,
    rtcp: ReplayWindow,
}

/// Makes both directions from what DTLS exported (RFC 5764 section 4.2). `is_client` is our DTLS role.
pub fn keys(material: &[u8], profile: SrtpProfile, is_client: bool) -> Result<(Sealer, Opener), SrtpError> {
    let (key_len, salt_len) = cipher::lengths(profile).ok_or(SrtpError::KeyingMaterial)?;
    let mut rest = material;
    let mut take = |len: usize| -> Result<&[u8], SrtpError> {
        let (head, tail) = rest.split_at_checked(len).ok_or(SrtpError::KeyingMaterial)?;
        rest = tail;
        Ok(head)
    };
    let (client_key, server_key) = (take(key_len)?, take(key_len)?);
    let (client_salt, server_salt) = (take(salt_len)?, take(salt_len)?);
    let client = || cipher::derive(profile, client_key, client_salt);
    let server = || cipher::derive(profile, server_key, server_salt);
    let (sealing, opening) = if is_client { (client()?, server()?) } else { (server()?, client()?) };
    Ok((
        Sealer { rtp: sealing.0, rtcp: sealing.1, rtcp_index: 0 },
        Opener { rtp: opening.0, rtcp: opening.1, streams: HashMap::default() },
    ))
}

impl Sealer {
    /// Seals the RTP packet in `buf[..len]`, whose header has `header_len` bytes, and returns its new length.
    /// `buf` needs [`RTP_OVERHEAD`] bytes to spare. `index` is the packet's 48-bit index, its lower 16 bits
    /// being the sequence number in the header.
    pub fn seal_rtp(
        &self,
        buf: &mut [u8],
        header_len: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        self.rtp.seal_rtp(buf, header_len, len, ssrc, index)
    }

    /// Seals the compound RTCP packet in `buf[..len]` and returns its new length. `buf` needs
    /// [`RTCP_OVERHEAD`] bytes to spare.
    pub fn seal_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let ssrc = u32_at(buf, 4).ok_or(SrtpError::Truncated)?;
        let index = self.rtcp_index;
        self.rtcp_index = (index + 1) & 0x7fff_ffff;
        self.rtcp.seal_rtcp(buf, len, ssrc, index)
    }
}

impl Opener {
    /// Opens an SRTP packet in place. `header_len` is the length of the RTP header with its CSRCs and
    /// extensions. Returns the length of the plain packet and its index.
    pub fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
    ) -> Result<(usize, u64), SrtpError> {
        let sequence = u16_at(packet, 2).ok_or(SrtpError::Truncated)?;
        let stream = self.streams.get(&ssrc);
        if stream.is_none() && self.streams.len() >= MAX_STREAMS {
            return Err(SrtpError::TooManyStreams);
        }
        let highest = stream.and_then(|stream| stream.highest);
        let index = estimate_index(highest, sequence);
        if stream.is_some_and(|stream| !stream.rtp.is_new(index)) {
            return Err(SrtpError::Replayed);
        }
        let len = self.rtp.open_rtp(packet, header_len, ssrc, index)?;
        // Only what authenticated leaves a trace: a forger must not grow this table or move a window.
        let stream = self.streams.entry(ssrc).or_default();
        stream.rtp.insert(index);
        stream.highest = Some(highest.map_or(index, |highest| highest.max(index)));
        Ok((len, index))
    }

    /// Opens an SRTCP packet in place and returns the length of the plain compound packet.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = u32_at(packet, 4).ok_or(SrtpError::Truncated)?;
        let stream = self.streams.get(&ssrc);
        if stream.is_none() && self.streams.len() >= MAX_STREAMS {
            return Err(SrtpError::TooManyStreams);
        }
        let index = self.rtcp.rtcp_index(packet)?;
        if stream.is_some_and(|stream| !stream.rtcp.is_new(u64::from(index))) {
            return Err(SrtpError::Replayed);
        }
        let len = self.rtcp.open_rtcp(packet, ssrc)?;
        self.streams.entry(ssrc).or_default().rtcp.insert(u64::from(index));
        Ok(len)
    }
}

/// The index that is nearest to the highest one seen (RFC 3711 section 3.3.1).
fn estimate_index(highest: Option<u64>, sequence: u16) -> u64 {
    let Some(highest) = highest else { return u64::from(sequence) };
    let base = highest & !0xffff;
    let candidate = base | u64::from(sequence);
    if candidate + 0x8000 < highest {
        candidate + 0x1_0000
    } else if candidate > highest + 0x8000 && base > 0 {
        candidate - 0x1_0000
    } else {
        candidate
    }
}

/// Writes the tag that a cipher made after the payload.
fn append(buf: &mut [u8], len: usize, tag: &[u8]) -> Result<usize, SrtpError> {
    put(buf, len, tag).ok_or(SrtpError::Truncated)?;
    Ok(len + tag.len())
}

#[cfg(test)]
mod tests;
