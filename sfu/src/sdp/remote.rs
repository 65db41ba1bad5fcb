//! A client's description, reduced to the parts that a forwarder needs.

use std::io::Cursor;

use rtc_sdp::{MediaDescription, SessionDescription};

use super::codec::offered_codecs;
use super::{Direction, Extension, ExtensionMap, MAX_LEN, MAX_SECTIONS, OfferedCodec, SdpError, Setup};
use crate::codec::MediaKind;
use crate::dtls::Fingerprint;

/// The longest `a=mid`: UUIDs are usual.
const MAX_MID: usize = 64;
/// The longest offer of a client, and the maximum number of its media sections.
const MAX_OFFER_LEN: usize = 64 * 1024;
const MAX_OFFERED_SECTIONS: usize = 64;
/// Maximum number of layers that are read and answered.
const MAX_RIDS: usize = 8;

/// A complete offer or answer.
#[derive(Clone, Debug)]
pub struct RemoteDescription {
    /// The client's user name fragment; a change of it is an ICE restart.
    pub ufrag: String,
    /// The SHA-256 fingerprint of the client's certificate.
    pub fingerprint: Fingerprint,
    /// The client's DTLS role.
    pub setup: Setup,
    /// The media sections in order.
    pub sections: Vec<RemoteSection>,
    /// Whether all active media sections share one transport.
    pub is_bundled: bool,
}

/// One m-line with its attributes.
#[derive(Clone, Debug)]
pub struct RemoteSection {
    /// The `a=mid` attribute, or the index of the section.
    pub mid: String,
    /// Audio or video; `None` for data channels and other media.
    pub kind: Option<MediaKind>,
    /// The media name as written, for a rejection.
    pub media: String,
    /// The transport protocol as written, for a rejection.
    pub protocol: String,
    /// The formats as written, for a rejection.
    pub formats: Vec<String>,
    /// Whether the section is disabled by port 0 without `bundle-only`.
    pub rejected: bool,
    /// The direction from the client's point of view.
    pub direction: Direction,
    /// The supported codecs, in the client's order.
    pub codecs: Vec<OfferedCodec>,
    /// The supported header extensions.
    pub extensions: ExtensionMap,
    /// The announced SSRCs, each with that of its retransmissions.
    pub ssrcs: Vec<(u32, Option<u32>)>,
    /// The names of the layers that the client offers to send (RFC 8853), in its order.
    pub rids: Vec<String>,
}

impl RemoteDescription {
    /// Reads the offer of a client, which has no more than its own tracks.
    pub fn parse_offer(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_OFFER_LEN || text.matches("\nm=").count() > MAX_OFFERED_SECTIONS {
            return Err(SdpError::TooLarge);
        }
        Self::parse(text)
    }

    /// Reads a description, such as an answer with the tracks of a large room.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_LEN {
            return Err(SdpError::TooLarge);
        }
        // Checked before parsing, so that the parser's work is bounded, too.
        if text.matches("\nm=").count() > MAX_SECTIONS {
            return Err(SdpError::TooLarge);
        }
        // Some parsers treat a bare carriage return as a line break, and parts of the
        // description are forwarded to them.
        if text.split('\n').any(|line| line.strip_suffix('\r').unwrap_or(line).contains('\r')) {
            return Err(SdpError::Malformed);
        }
        let session =
            SessionDescription::unmarshal(&mut Cursor::new(text)).map_err(|_| SdpError::Malformed)?;
        let anywhere = |key: &str| -> Option<&str> {
            let on_session = session
                .attributes
                .iter()
                .find(|attribute| attribute.key == key)
                .and_then(|a| a.value.as_deref());
            // Disabled sections may lack attributes that the other sections share.
            on_session.or_else(|| session.media_descriptions.iter().find_map(|m| m.attribute(key).flatten()))
        };
        let fingerprint = fingerprints(&session)
            .find_map(|value| {
                let (algorithm, digest) = value.split_once(' ')?;
                algorithm.eq_ignore_ascii_case("sha-256").then(|| Fingerprint::parse(digest)).flatten()
            })
            .ok_or(SdpError::Missing("sha-256 fingerprint"))?;
        let setup = match anywhere("setup") {
            Some("active") => Setup::Active,
            Some("passive") => Setup::Passive,
            Some("actpass") => Setup::ActPass,
            _ => return Err(SdpError::Missing("setup")),
        };
        let ufrag = anywhere("ice-ufrag").filter(|value| (4..=256).contains(&value.len()));
        anywhere("ice-pwd")
            .filter(|value| (22..=256).contains(&value.len()))
            .ok_or(SdpError::Missing("ice-pwd"))?;
        let inherited = Direction::find(session.attributes.iter().map(|a| a.key.as_str()));
        let sections = session
            .media_descriptions
            .iter()
            .enumerate()
            .map(|(at, media)| section(at, media, inherited))
            .collect::<Vec<_>>();
        // A `mid` is copied into our descriptions, so it must be a single token (RFC 5888 section 4).
        let is_token =
            |mid: &str| !mid.is_empty() && mid.len() <= MAX_MID && mid.bytes().all(|b| b.is_ascii_graphic());
        if !sections.iter().all(|section| is_token(&section.mid)) {
            return Err(SdpError::Malformed);
        }
        if sections.iter().enumerate().any(|(at, s)| sections.iter().skip(at + 1).any(|t| t.mid == s.mid)) {
            return Err(SdpError::Malformed);
        }
        let is_bundled = is_bundled(&session, &sections);
        Ok(Self {
            ufrag: ufrag.ok_or(SdpError::Missing("ice-ufrag"))?.to_owned(),
            fingerprint,
            setup,
            sections,
            is_bundled,
        })
    }
}

/// Whether one BUNDLE group contains all active media sections; a single section needs none.
fn is_bundled(session: &SessionDescription, sections: &[RemoteSection]) -> bool {
    let on = || sections.iter().filter(|section| !section.rejected && section.kind.is_some());
    let mut groups = session.attributes.iter().filter(|attribute| attribute.key == "group");
    on().count() < 2
        || groups.any(|group| {
            let mut words = group.value.as_deref().unwrap_or_default().split_ascii_whitespace();
            words.next() == Some("BUNDLE") && on().all(|section| words.clone().any(|mid| mid == section.mid))
        })
}

fn fingerprints(session: &SessionDescription) -> impl Iterator<Item = &str> {
    let in_media = session.media_descriptions.iter().flat_map(|media| &media.attributes);
    in_media
        .chain(&session.attributes)
        .filter(|attribute| attribute.key == "fingerprint")
        .filter_map(|attribute| attribute.value.as_deref())
}

fn section(at: usize, media: &MediaDescription, inherited: Option<Direction>) -> RemoteSection {
    let name = &media.media_name;
    let kind = match name.media.as_str() {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    };
    let values = |key: &'static str| {
        media.attributes.iter().filter(move |a| a.key == key).filter_map(|a| a.value.as_deref())
    };
    let mut extensions = ExtensionMap::default();
    for value in values("extmap") {
        let mut words = value.split_ascii_whitespace();
        let id = words.next().and_then(|id| id.split('/').next()).and_then(|id| id.parse::<u8>().ok());
        if let (Some(id @ 1..=254), Some(extension)) = (id, words.next().and_then(Extension::from_uri)) {
            extensions.set(extension, id);
        }
    }
    RemoteSection {
        mid: media.attribute("mid").flatten().map_or_else(|| at.to_string(), str::to_owned),
        kind,
        media: name.media.clone(),
        protocol: name.protos.join("/"),
        formats: name.formats.clone(),
        rejected: name.port.value == 0 && !media.has_attribute("bundle-only"),
        direction: Direction::find(media.attributes.iter().map(|a| a.key.as_str()))
            .or(inherited)
            .unwrap_or(Direction::SendRecv),
        codecs: kind.map(|kind| offered_codecs(kind, &name.formats, &values)).unwrap_or_default(),
        extensions,
        ssrcs: ssrcs(values("ssrc"), values("ssrc-group")),
        rids: values("simulcast").next().map(sent_rids).unwrap_or_default(),
    }
}

/// The layers in the send direction of an `a=simulcast` attribute: the first one of each list of alternatives, whether or
/// not it is paused.
fn sent_rids(value: &str) -> Vec<String> {
    let mut words = value.split_ascii_whitespace();
    let Some(list) = words.by_ref().find(|word| *word == "send").and_then(|_| words.next()) else {
        return Vec::new();
    };
    let first =
        |alternatives: &str| alternatives.split(',').next().map(|rid| rid.trim_start_matches('~').to_owned());
    // Alphanumeric, and short enough for a one-byte header extension (RFC 8851 section 10, RFC 8285 section 4.2).
    let is_valid = |rid: &String| {
        let is_named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=16).contains(&rid.len()) && rid.bytes().all(is_named)
    };
    list.split(';').filter_map(first).filter(is_valid).take(MAX_RIDS).collect()
}

/// The media SSRCs, each with its retransmission SSRC, in the order announced; eight at most.
fn ssrcs<'a>(
    lines: impl Iterator<Item = &'a str>,
    groups: impl Iterator<Item = &'a str>,
) -> Vec<(u32, Option<u32>)> {
    let pairs: Vec<(u32, u32)> = groups
        .filter_map(|group| {
            let mut words = group.split_ascii_whitespace();
            (words.next()? == "FID").then_some(())?;
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .take(8)
        .collect();
    let mut found: Vec<(u32, Option<u32>)> = Vec::new();
    for ssrc in lines.filter_map(|line| line.split_ascii_whitespace().next()?.parse::<u32>().ok()) {
        let is_retransmission = pairs.iter().any(|(_, rtx)| *rtx == ssrc);
        if found.len() < 8 && !is_retransmission && !found.iter().any(|(known, _)| *known == ssrc) {
            found.push((ssrc, pairs.iter().find(|(primary, _)| *primary == ssrc).map(|(_, rtx)| *rtx)));
        }
    }
    found
}
