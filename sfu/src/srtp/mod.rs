//! SRTP and SRTCP (RFC 3711, RFC 7714) with keys exported by a DTLS handshake.
//!
//! Both directions work in place. The index of a sent packet is an argument: the caller guarantees that no index is
//! used twice with different content, since that would reuse a nonce.

mod cipher;
mod replay;

use std::collections::HashMap;

pub use dimpl::SrtpProfile;

use crate::wire::{put, u16_at, u32_at};
use cipher::Cipher;
use replay::ReplayWindow;

/// Maximum number of bytes that encryption adds to an RTP packet.
pub const RTP_OVERHEAD: usize = 16;
/// Maximum number of bytes that encryption adds to an RTCP packet.
pub const RTCP_OVERHEAD: usize = 20;
/// Maximum number of streams of one peer whose replay windows are kept; packets of further SSRCs are refused.
pub const MAX_STREAMS: usize = 128;

/// Why a packet was not encrypted or decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// The packet is shorter than its headers and tag.
    #[error("packet is too short")]
    Truncated,
    /// The authentication tag does not match.
    #[error("authentication failed")]
    Authentication,
    /// The packet was received before, or is older than the replay window.
    #[error("packet is a replay or too old")]
    Replayed,
    /// The peer has used more SSRCs than [`MAX_STREAMS`].
    #[error("too many streams")]
    TooManyStreams,
    /// The exported keys do not have the length that the profile requires, or the profile is unknown.
    #[error("keying material does not fit the profile")]
    KeyingMaterial,
}

/// Encrypts the packets sent to one peer.
pub struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

/// Decrypts the packets received from one peer.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    streams: HashMap<u32, Stream, foldhash::fast::RandomState>,
}

#[derive(Default)]
struct Stream {
    /// The highest authenticated index, with the rollover counter in its upper bits; `None` before the first packet.
    highest: Option<u64>,
    rtp: ReplayWindow,
    rtcp: ReplayWindow,
}

/// Creates both directions from the keys that DTLS exported (RFC 5764 section 4.2). `is_client` is our DTLS role.
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
    /// Encrypts the RTP packet in `buf[..len]`, whose header has `header_len` bytes, and returns its new length. `buf`
    /// must have [`RTP_OVERHEAD`] bytes to spare. `index` is the packet's 48-bit index, whose lower 16 bits are the
    /// sequence number in the header.
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

    /// Encrypts the compound RTCP packet in `buf[..len]` and returns its new length. `buf` must have
    /// [`RTCP_OVERHEAD`] bytes to spare.
    pub fn seal_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let ssrc = u32_at(buf, 4).ok_or(SrtpError::Truncated)?;
        let index = self.rtcp_index;
        self.rtcp_index = (index + 1) & 0x7fff_ffff;
        self.rtcp.seal_rtcp(buf, len, ssrc, index)
    }
}

impl Opener {
    /// Decrypts an SRTP packet in place. `header_len` is the length of the RTP header including CSRCs and extensions.
    /// Returns the length of the decrypted packet and its index.
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
        // State changes only after authentication, so that a forged packet cannot grow the table or move a window.
        let stream = self.streams.entry(ssrc).or_default();
        stream.rtp.insert(index);
        stream.highest = Some(highest.map_or(index, |highest| highest.max(index)));
        Ok((len, index))
    }

    /// Decrypts an SRTCP packet in place and returns the length of the decrypted compound packet.
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

/// The index that is closest to the highest one received (RFC 3711 section 3.3.1).
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

/// Writes the authentication tag or trailer at `len` and returns the new length.
fn append(buf: &mut [u8], len: usize, tag: &[u8]) -> Result<usize, SrtpError> {
    put(buf, len, tag).ok_or(SrtpError::Truncated)?;
    Ok(len + tag.len())
}

#[cfg(test)]
mod tests;
