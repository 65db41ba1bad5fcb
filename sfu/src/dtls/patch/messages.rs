//! Overrides two decisions of the DTLS library by editing the messages that it reads and writes.
//!
//! The library selects AES-256-GCM for SRTP whenever the client offers it, although encryption with it takes half as
//! long again as with AES-128-GCM; the offer is therefore hidden from it if the client offers both. It also requests
//! only ECDSA certificates, so that `GStreamer` and other clients with RSA keys send none; its request is therefore
//! completed on the way out.
//!
//! Both sides authenticate the handshake messages. [`restore`] reconstructs the messages as sent over the
//! network, and the [provider](super::provider) hashes those, so a handshake that the two sides have
//! understood differently still fails.

use std::borrow::Cow;

/// The length of a handshake message header: type, length, sequence number, fragment offset and fragment length
/// (RFC 6347 section 4.2.2).
pub(super) const MESSAGE_HEADER: usize = 12;
/// The length of a record header: type, version, epoch and sequence number, length.
pub(super) const RECORD_HEADER: usize = 13;
const HANDSHAKE_RECORD: u8 = 22;
pub(super) const CLIENT_HELLO: u8 = 1;
const CERTIFICATE_REQUEST: u8 = 13;
const USE_SRTP: u16 = 14;
const AEAD_AES_128_GCM: u16 = 7;
const AEAD_AES_256_GCM: u16 = 8;
/// The value that replaces [`AEAD_AES_256_GCM`] for the library: no profile has this number.
const HIDDEN: u16 = 0xe4a8;
const RSA_SIGN: u8 = 1;
/// RSA (PKCS #1) with SHA-256, SHA-384 and SHA-512, as pairs of hash and signature algorithm.
const RSA_ALGORITHMS: [[u8; 2]; 3] = [[4, 1], [5, 1], [6, 1]];

/// A handshake message or a fragment of one.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    pub(super) number: [u8; 2],
    /// The length of the whole message.
    pub(super) length: usize,
    /// The offset of this fragment in the message.
    pub(super) offset: usize,
    pub(super) part: &'a [u8],
    all: &'a [u8],
}

impl<'a> Message<'a> {
    /// The first message in these bytes, and the rest.
    pub(super) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<MESSAGE_HEADER>()?;
        let [kind, l1, l2, l3, n1, n2, o1, o2, o3, p1, p2, p3] = *header;
        let number = |bytes: [u8; 3]| bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
        let (part, rest) = rest.split_at_checked(number([p1, p2, p3]))?;
        let all = bytes.get(..MESSAGE_HEADER + part.len())?;
        let (length, offset) = (number([l1, l2, l3]), number([o1, o2, o3]));
        (offset + part.len() <= length).then_some(())?;
        Some((Self { kind, number: [n1, n2], length, offset, part, all }, rest))
    }

    fn is_whole(&self) -> bool {
        self.part.len() == self.length
    }
}

/// Writes an unfragmented handshake message.
pub(super) fn write_message(kind: u8, number: [u8; 2], body: &[u8], out: &mut Vec<u8>) {
    let [.., l1, l2, l3] = body.len().to_be_bytes();
    out.extend_from_slice(&[kind, l1, l2, l3, number[0], number[1], 0, 0, 0, l1, l2, l3]);
    out.extend_from_slice(body);
}

/// An unencrypted record.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    /// The type, version, epoch and sequence number.
    pub(super) head: &'a [u8; RECORD_HEADER - 2],
    pub(super) fragment: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of a datagram, and the rest.
    pub(super) fn split(datagram: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = datagram.split_first_chunk::<{ RECORD_HEADER - 2 }>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (fragment, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Some((Self { head, fragment }, rest))
    }

    /// Whether the record contains unencrypted handshake messages.
    pub(super) fn is_plain_handshake(&self) -> bool {
        let [kind, _, _, epoch @ .., _, _, _, _, _, _] = *self.head;
        kind == HANDSHAKE_RECORD && epoch == [0, 0]
    }
}

/// Writes a record with the given header.
pub(super) fn write_record(head: &[u8], fragment: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    out.extend_from_slice(&u16::try_from(fragment.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(fragment);
}

/// Hides AES-256-GCM in the SRTP profiles of a `ClientHello` if it also offers AES-128-GCM.
pub(super) fn hide_slow_profile(hello: &mut [u8]) {
    let Some(profiles) = srtp_profiles(hello) else { return };
    if profiles.chunks_exact(2).any(|profile| profile == AEAD_AES_128_GCM.to_be_bytes()) {
        replace(profiles, AEAD_AES_256_GCM, HIDDEN);
    }
}

fn replace(profiles: &mut [u8], from: u16, to: u16) {
    for profile in profiles.chunks_exact_mut(2).filter(|profile| **profile == from.to_be_bytes()) {
        profile.copy_from_slice(&to.to_be_bytes());
    }
}

/// The list of SRTP profiles in a `ClientHello` (RFC 5764 section 4.1.1).
fn srtp_profiles(hello: &mut [u8]) -> Option<&mut [u8]> {
    let mut rest = hello.get_mut(2 + 32..)?; // version, random
    for width in [1, 1, 2, 1] {
        // session id, cookie, cipher suites, compression methods
        rest = take_vector(rest, width)?.1;
    }
    let (mut extensions, _) = take_vector(rest, 2)?;
    while !extensions.is_empty() {
        let (kind, rest) = extensions.split_first_chunk_mut::<2>()?;
        let (data, rest) = take_vector(rest, 2)?;
        if u16::from_be_bytes(*kind) == USE_SRTP {
            return Some(take_vector(data, 2)?.0);
        }
        extensions = rest;
    }
    None
}

/// A vector with a length prefix of `width` bytes, and the rest.
fn take_vector(bytes: &mut [u8], width: usize) -> Option<(&mut [u8], &mut [u8])> {
    let (length, rest) = bytes.split_at_mut_checked(width)?;
    let length = length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
    rest.split_at_mut_checked(length)
}

/// A `CertificateRequest` (RFC 5246 section 7.4.4) with RSA added.
fn with_rsa(request: &[u8]) -> Option<Vec<u8>> {
    let (types_len, rest) = request.split_first()?;
    let (types, rest) = rest.split_at_checked(usize::from(*types_len))?;
    let (algorithms_len, rest) = rest.split_first_chunk::<2>()?;
    let (algorithms, authorities) =
        rest.split_at_checked(usize::from(u16::from_be_bytes(*algorithms_len)))?;
    let mut out = Vec::with_capacity(request.len() + 7);
    out.push(types_len.checked_add(1)?);
    out.extend_from_slice(types);
    out.push(RSA_SIGN);
    let length = u16::from_be_bytes(*algorithms_len).checked_add(2 * 3)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(algorithms);
    out.extend_from_slice(RSA_ALGORITHMS.as_flattened());
    out.extend_from_slice(authorities);
    Some(out)
}

/// A datagram of the library as sent to the client; `None` if it is unchanged.
///
/// The `CertificateRequest` is not fragmented, because the flight fits into one datagram with our certificate.
pub(super) fn complete_request(datagram: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut is_changed = false;
    let mut rest = datagram;
    while !rest.is_empty() {
        let (record, next) = Record::split(rest)?;
        rest = next;
        let mut fragment = Cow::Borrowed(record.fragment);
        if record.is_plain_handshake() {
            fragment = edit(record.fragment, |message, out| {
                let request = (message.kind == CERTIFICATE_REQUEST).then(|| with_rsa(message.part));
                request
                    .flatten()
                    .map(|body| write_message(message.kind, message.number, &body, out))
                    .is_some()
            });
            is_changed |= matches!(fragment, Cow::Owned(_));
        }
        write_record(record.head, &fragment, &mut out);
    }
    is_changed.then_some(out)
}

/// Reconstructs the messages sent over the network from those that the library has read and written.
pub(super) fn restore(transcript: &[u8]) -> Cow<'_, [u8]> {
    if transcript.first() != Some(&CLIENT_HELLO) {
        return Cow::Borrowed(transcript);
    }
    edit(transcript, |message, out| match message.kind {
        CLIENT_HELLO => {
            let mut hello = message.part.to_vec();
            if let Some(profiles) = srtp_profiles(&mut hello) {
                replace(profiles, HIDDEN, AEAD_AES_256_GCM);
            }
            write_message(message.kind, message.number, &hello, out);
            true
        }
        CERTIFICATE_REQUEST => with_rsa(message.part)
            .map(|body| write_message(message.kind, message.number, &body, out))
            .is_some(),
        _ => false,
    })
}

/// Passes each unfragmented message to `write`, which returns whether it has written a replacement. Bytes that are not
/// handshake messages are left unchanged.
fn edit(messages: &[u8], mut write: impl FnMut(&Message<'_>, &mut Vec<u8>) -> bool) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(messages.len() + 8);
    let mut is_changed = false;
    let mut rest = messages;
    while !rest.is_empty() {
        let Some((message, next)) = Message::split(rest) else { return Cow::Borrowed(messages) };
        rest = next;
        if message.is_whole() && write(&message, &mut out) {
            is_changed = true;
        } else {
            out.extend_from_slice(message.all);
        }
    }
    if is_changed { Cow::Owned(out) } else { Cow::Borrowed(messages) }
}
