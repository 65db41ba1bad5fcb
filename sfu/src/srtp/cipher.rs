//! The supported transforms: AES-GCM with both key sizes, and AES counter mode with HMAC-SHA1.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use dimpl::SrtpProfile;

use super::{SrtpError, append};
use crate::wire::u32_at;

const SHA1_TAG: usize = 10;
const RTCP_ENCRYPTED: u32 = 0x8000_0000;

/// The session keys of one direction, for RTP or for RTCP.
#[allow(
    clippy::large_enum_variant,
    reason = "the larger one is the usual one, and boxing it would cost every packet"
)]
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Counter { key: EncryptingKey, auth: hmac::Key, salt: [u8; 14] },
}

/// The lengths of the master key and master salt in bytes.
pub(super) fn lengths(profile: SrtpProfile) -> Option<(usize, usize)> {
    match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Some((16, 14)),
        SrtpProfile::AEAD_AES_128_GCM => Some((16, 12)),
        SrtpProfile::AEAD_AES_256_GCM => Some((32, 12)),
        _ => None,
    }
}

/// Derives the session keys for RTP and RTCP (RFC 3711 section 4.3, key derivation rate 0).
pub(super) fn derive(
    profile: SrtpProfile,
    master_key: &[u8],
    master_salt: &[u8],
) -> Result<(Cipher, Cipher), SrtpError> {
    let algorithm = if master_key.len() == 32 { &AES_256 } else { &AES_128 };
    let prf = UnboundCipherKey::new(algorithm, master_key)
        .and_then(EncryptingKey::ctr)
        .map_err(|_| SrtpError::KeyingMaterial)?;
    let mut salt = [0; 14];
    salt.get_mut(..master_salt.len()).ok_or(SrtpError::KeyingMaterial)?.copy_from_slice(master_salt);
    let keys = KeyDerivation { prf, salt };
    Ok((keys.cipher(profile, 0)?, keys.cipher(profile, 3)?))
}

struct KeyDerivation {
    prf: EncryptingKey,
    /// The master salt; the shorter one of AEAD is padded at its end (RFC 7714 section 11).
    salt: [u8; 14],
}

impl KeyDerivation {
    /// `label` is the label of the encryption key; those of the authentication key and the salt follow it.
    fn cipher(&self, profile: SrtpProfile, label: u8) -> Result<Cipher, SrtpError> {
        let unfit = |_| SrtpError::KeyingMaterial;
        match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Ok(Cipher::Counter {
                key: UnboundCipherKey::new(&AES_128, &self.output::<16>(label)?)
                    .and_then(EncryptingKey::ctr)
                    .map_err(unfit)?,
                auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.output::<20>(label + 1)?),
                salt: self.output(label + 2)?,
            }),
            SrtpProfile::AEAD_AES_128_GCM => Ok(Cipher::Gcm {
                key: LessSafeKey::new(
                    UnboundKey::new(&AES_128_GCM, &self.output::<16>(label)?).map_err(unfit)?,
                ),
                salt: self.output(label + 2)?,
            }),
            SrtpProfile::AEAD_AES_256_GCM => Ok(Cipher::Gcm {
                key: LessSafeKey::new(
                    UnboundKey::new(&AES_256_GCM, &self.output::<32>(label)?).map_err(unfit)?,
                ),
                salt: self.output(label + 2)?,
            }),
            _ => Err(SrtpError::KeyingMaterial),
        }
    }

    fn output<const N: usize>(&self, label: u8) -> Result<[u8; N], SrtpError> {
        let mut iv = counter_block(&self.salt);
        iv[7] ^= label;
        let mut out = [0; N];
        self.prf
            .less_safe_encrypt(&mut out, EncryptionContext::Iv128((&iv).into()))
            .map_err(|_| SrtpError::KeyingMaterial)?;
        Ok(out)
    }
}

impl Cipher {
    pub(super) fn seal_rtp(
        &self,
        buf: &mut [u8],
        header_len: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm { key, salt } => {
                let (header, rest) = buf.split_at_mut_checked(header_len).ok_or(SrtpError::Truncated)?;
                let payload_len = len.checked_sub(header_len).ok_or(SrtpError::Truncated)?;
                let payload = rest.get_mut(..payload_len).ok_or(SrtpError::Truncated)?;
                let tag = key
                    .seal_in_place_separate_tag(
                        gcm_rtp_nonce(salt, ssrc, index),
                        Aad::from(&*header),
                        payload,
                    )
                    .map_err(|_| SrtpError::Authentication)?;
                append(buf, len, tag.as_ref())
            }
            Self::Counter { key, auth, salt } => {
                let payload = buf.get_mut(header_len..len).ok_or(SrtpError::Truncated)?;
                apply_keystream(key, salt, ssrc, index, payload)?;
                let tag = rtp_tag(auth, buf.get(..len).ok_or(SrtpError::Truncated)?, index);
                append(buf, len, tag.as_ref().first_chunk::<SHA1_TAG>().ok_or(SrtpError::Truncated)?)
            }
        }
    }

    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm { key, salt } => {
                let (header, sealed) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::Truncated)?;
                let plain = key
                    .open_in_place(gcm_rtp_nonce(salt, ssrc, index), Aad::from(&*header), sealed)
                    .map_err(|_| SrtpError::Authentication)?;
                Ok(header_len + plain.len())
            }
            Self::Counter { key, auth, salt } => {
                let len = packet.len().checked_sub(SHA1_TAG).ok_or(SrtpError::Truncated)?;
                let (body, tag) = packet.split_at_mut_checked(len).ok_or(SrtpError::Truncated)?;
                verify_sha1(rtp_tag(auth, body, index), tag)?;
                apply_keystream(
                    key,
                    salt,
                    ssrc,
                    index,
                    body.get_mut(header_len..).ok_or(SrtpError::Truncated)?,
                )?;
                Ok(len)
            }
        }
    }

    pub(super) fn seal_rtcp(
        &self,
        buf: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let trailer = (index | RTCP_ENCRYPTED).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let mut aad = [0; 12];
                aad.get_mut(..8)
                    .zip(buf.get(..8))
                    .ok_or(SrtpError::Truncated)
                    .map(|(aad, header)| aad.copy_from_slice(header))?;
                aad.get_mut(8..).ok_or(SrtpError::Truncated)?.copy_from_slice(&trailer);
                let body = buf.get_mut(8..len).ok_or(SrtpError::Truncated)?;
                let tag = key
                    .seal_in_place_separate_tag(gcm_rtcp_nonce(salt, ssrc, index), Aad::from(aad), body)
                    .map_err(|_| SrtpError::Authentication)?;
                let len = append(buf, len, tag.as_ref())?;
                append(buf, len, &trailer)
            }
            Self::Counter { key, auth, salt } => {
                let body = buf.get_mut(8..len).ok_or(SrtpError::Truncated)?;
                apply_keystream(key, salt, ssrc, u64::from(index), body)?;
                let len = append(buf, len, &trailer)?;
                let tag = hmac::sign(auth, buf.get(..len).ok_or(SrtpError::Truncated)?);
                append(buf, len, tag.as_ref().first_chunk::<SHA1_TAG>().ok_or(SrtpError::Truncated)?)
            }
        }
    }

    /// The index in an encrypted RTCP packet, not yet authenticated.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        let behind = match self {
            Self::Gcm { .. } => 4,
            Self::Counter { .. } => 4 + SHA1_TAG,
        };
        let at = packet.len().checked_sub(behind).ok_or(SrtpError::Truncated)?;
        let word = u32_at(packet, at).ok_or(SrtpError::Truncated)?;
        Ok(word & !RTCP_ENCRYPTED)
    }

    /// Decrypts an RTCP packet. All peers encrypt RTCP, so a packet that is only authenticated is refused.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm { key, salt } => {
                let end = packet.len().checked_sub(4).ok_or(SrtpError::Truncated)?;
                let (sealed, trailer) = packet.split_at_mut_checked(end).ok_or(SrtpError::Truncated)?;
                let index = encrypted_index(trailer)?;
                let (header, body) = sealed.split_at_mut_checked(8).ok_or(SrtpError::Truncated)?;
                let mut aad = [0; 12];
                aad.get_mut(..8).ok_or(SrtpError::Truncated)?.copy_from_slice(header);
                aad.get_mut(8..).ok_or(SrtpError::Truncated)?.copy_from_slice(trailer);
                let plain = key
                    .open_in_place(gcm_rtcp_nonce(salt, ssrc, index), Aad::from(aad), body)
                    .map_err(|_| SrtpError::Authentication)?;
                Ok(8 + plain.len())
            }
            Self::Counter { key, auth, salt } => {
                let end = packet.len().checked_sub(SHA1_TAG).ok_or(SrtpError::Truncated)?;
                let (body, tag) = packet.split_at_mut_checked(end).ok_or(SrtpError::Truncated)?;
                verify_sha1(hmac::sign(auth, body), tag)?;
                let len = end.checked_sub(4).ok_or(SrtpError::Truncated)?;
                let index = encrypted_index(body.get(len..).ok_or(SrtpError::Truncated)?)?;
                let payload = body.get_mut(8..len).ok_or(SrtpError::Truncated)?;
                apply_keystream(key, salt, ssrc, u64::from(index), payload)?;
                Ok(len)
            }
        }
    }
}

fn encrypted_index(trailer: &[u8]) -> Result<u32, SrtpError> {
    let word = u32_at(trailer, 0).ok_or(SrtpError::Truncated)?;
    if word & RTCP_ENCRYPTED == 0 {
        return Err(SrtpError::Authentication);
    }
    Ok(word & !RTCP_ENCRYPTED)
}

/// RFC 7714 section 8.1: two zero bytes, SSRC, rollover counter and sequence number, combined with the salt by XOR.
fn gcm_rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let block = (u128::from(ssrc) << 48) | u128::from(index & 0xffff_ffff_ffff);
    gcm_nonce(salt, block)
}

/// RFC 7714 section 9.1: two zero bytes, SSRC, two zero bytes and the 31-bit index, combined with the salt by XOR.
fn gcm_rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    gcm_nonce(salt, (u128::from(ssrc) << 48) | u128::from(index))
}

fn gcm_nonce(salt: &[u8; 12], block: u128) -> Nonce {
    let mut nonce = *salt;
    let [_, _, _, _, block @ ..] = block.to_be_bytes();
    for (byte, mask) in nonce.iter_mut().zip(block) {
        *byte ^= mask;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// The counter block with the salt in its upper 14 bytes.
fn counter_block(salt: &[u8; 14]) -> [u8; 16] {
    let mut block = [0; 16];
    for (byte, salt) in block.iter_mut().zip(salt) {
        *byte = *salt;
    }
    block
}

/// RFC 3711 section 4.1.1. Encryption and decryption are the same operation.
fn apply_keystream(
    key: &EncryptingKey,
    salt: &[u8; 14],
    ssrc: u32,
    index: u64,
    data: &mut [u8],
) -> Result<(), SrtpError> {
    let mask = (u128::from(ssrc) << 64) | (u128::from(index & 0xffff_ffff_ffff) << 16);
    let iv = (u128::from_be_bytes(counter_block(salt)) ^ mask).to_be_bytes();
    key.less_safe_encrypt(data, EncryptionContext::Iv128((&iv).into()))
        .map(|_| ())
        .map_err(|_| SrtpError::Authentication)
}

fn rtp_tag(auth: &hmac::Key, packet: &[u8], index: u64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(auth);
    context.update(packet);
    let [_, _, rollover @ .., _, _] = index.to_be_bytes();
    context.update(&rollover);
    context.sign()
}

fn verify_sha1(expected: hmac::Tag, tag: &[u8]) -> Result<(), SrtpError> {
    let expected = expected.as_ref().first_chunk::<SHA1_TAG>().ok_or(SrtpError::Truncated)?;
    aws_lc_rs::constant_time::verify_slices_are_equal(expected, tag).map_err(|_| SrtpError::Authentication)
}
