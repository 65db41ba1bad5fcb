//! The server's descriptions.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{ExtensionMap, Feedback, RemoteSection, Setup};
use crate::codec::{Codec, MediaKind};
use crate::dtls::Fingerprint;

/// The direction attribute of a section: `a=sendrecv`, `a=sendonly`, `a=recvonly` or `a=inactive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Media flows in both directions.
    SendRecv,
    /// The describing side only sends.
    SendOnly,
    /// The describing side only receives.
    RecvOnly,
    /// No media flows.
    Inactive,
}

impl Direction {
    /// Whether the describing side sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describing side receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// A codec in a description of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenCodec {
    /// The codec.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of its retransmissions.
    pub rtx: Option<u8>,
    /// Its format parameters; empty for none.
    pub fmtp: String,
    /// The RTCP feedback that the server announces.
    pub feedback: Feedback,
}

/// `a=msid` and the SSRCs of a sent stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msid {
    /// The stream id: the publishing peer.
    pub stream: String,
    /// The track id.
    pub track: String,
    /// The SSRC of the media.
    pub ssrc: u32,
    /// The SSRC of the retransmissions.
    pub rtx_ssrc: Option<u32>,
}

/// The state of a section.
#[derive(Clone, Debug)]
pub enum SectionState {
    /// The section is accepted, and media may flow.
    Active {
        /// The direction from the server's point of view.
        direction: Direction,
        /// The codecs in order of preference.
        codecs: Vec<WrittenCodec>,
        /// The header extensions.
        extensions: ExtensionMap,
        /// The sent stream, if any.
        msid: Option<Msid>,
    },
    /// The section is rejected with port 0; the offered formats are echoed because an m-line needs at least one.
    Rejected {
        /// The media name of the offer.
        media: String,
        /// The transport protocol of the offer.
        protocol: String,
        /// The formats of the offer.
        formats: Vec<String>,
    },
}

/// One m-line of a description.
#[derive(Clone, Debug)]
pub struct LocalSection {
    /// The `a=mid` attribute.
    pub mid: String,
    /// Audio or video; meaningless in a rejected section.
    pub kind: MediaKind,
    /// The remaining contents.
    pub state: SectionState,
}

impl LocalSection {
    /// Rejects a section of an offer.
    pub fn reject(offered: &RemoteSection) -> Self {
        Self {
            mid: offered.mid.clone(),
            kind: offered.kind.unwrap_or(MediaKind::Audio),
            state: SectionState::Rejected {
                media: offered.media.clone(),
                protocol: offered.protocol.clone(),
                formats: offered.formats.clone(),
            },
        }
    }
}

/// An offer or answer of the server.
#[derive(Debug)]
pub struct LocalDescription<'a> {
    /// The session id in `o=`.
    pub session: u64,
    /// The version in `o=`, which grows with each description.
    pub version: u64,
    /// The ICE user name fragment.
    pub ufrag: &'a str,
    /// The ICE password.
    pub password: &'a str,
    /// The fingerprint of the server's certificate.
    pub fingerprint: Fingerprint,
    /// The server's DTLS role.
    pub setup: Setup,
    /// The host candidates, best first.
    pub candidates: &'a [SocketAddr],
    /// The media sections.
    pub sections: &'a [LocalSection],
}

impl LocalDescription<'_> {
    /// Writes the description.
    pub fn to_sdp(&self) -> String {
        let mut out = String::with_capacity(4096);
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "v=0\r\no=- {} {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", self.session, self.version)?;
        out.push_str("a=group:BUNDLE");
        for section in self.accepted() {
            write!(out, " {}", section.mid)?;
        }
        out.push_str("\r\na=ice-lite\r\na=msid-semantic:WMS *\r\n");
        let first = self.accepted().next().map(|section| section.mid.as_str());
        for section in self.sections {
            match &section.state {
                SectionState::Rejected { media, protocol, formats } => {
                    write!(out, "m={media} 0 {protocol} {}\r\n", formats.join(" "))?;
                    write!(out, "c=IN IP4 0.0.0.0\r\na=mid:{}\r\na=inactive\r\n", section.mid)?;
                }
                SectionState::Active { direction, codecs, extensions, msid } => {
                    self.write_transport(out, section, codecs, first == Some(section.mid.as_str()))?;
                    write!(out, "a={}\r\n", direction.as_str())?;
                    for (extension, id) in extensions.iter() {
                        write!(out, "a=extmap:{id} {}\r\n", extension.uri())?;
                    }
                    for codec in codecs {
                        write_codec(out, codec)?;
                    }
                    if let Some(msid) = msid {
                        write_msid(out, msid)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn accepted(&self) -> impl Iterator<Item = &LocalSection> {
        self.sections.iter().filter(|section| matches!(section.state, SectionState::Active { .. }))
    }

    fn write_transport(
        &self,
        out: &mut String,
        section: &LocalSection,
        codecs: &[WrittenCodec],
        is_first: bool,
    ) -> std::fmt::Result {
        write!(out, "m={} 9 UDP/TLS/RTP/SAVPF", section.kind.as_str())?;
        for codec in codecs {
            write!(out, " {}", codec.payload_type)?;
            if let Some(rtx) = codec.rtx {
                write!(out, " {rtx}")?;
            }
        }
        write!(out, "\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\n", section.mid)?;
        write!(out, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.ufrag, self.password)?;
        let setup = match self.setup {
            Setup::Active => "active",
            Setup::Passive => "passive",
            Setup::ActPass => "actpass",
        };
        write!(out, "a=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n", self.fingerprint)?;
        out.push_str("a=rtcp-mux\r\na=rtcp-rsize\r\n");
        // Bundled sections share the transport of the first one.
        if is_first {
            out.extend(candidate_lines(self.candidates));
            out.push_str("a=end-of-candidates\r\n");
        }
        Ok(())
    }
}

/// Host candidates as SDP lines, in descending order of priority (RFC 8445 section 5.1.2.1).
pub(crate) fn candidate_lines(candidates: &[SocketAddr]) -> impl Iterator<Item = String> + '_ {
    candidates.iter().zip(0_u32..).map(|(candidate, at)| {
        let priority = 126 << 24 | 65_535_u32.saturating_sub(at) << 8 | 255;
        let (ip, port) = (candidate.ip(), candidate.port());
        format!("a=candidate:{} 1 udp {priority} {ip} {port} typ host\r\n", at + 1)
    })
}

fn write_codec(out: &mut String, written: &WrittenCodec) -> std::fmt::Result {
    let WrittenCodec { codec, payload_type, rtx, fmtp, feedback } = written;
    write!(out, "a=rtpmap:{payload_type} {}\r\n", codec.rtpmap())?;
    if !fmtp.is_empty() {
        write!(out, "a=fmtp:{payload_type} {fmtp}\r\n")?;
    }
    let lines = [
        (feedback.transport_cc, "transport-cc"),
        (feedback.remb, "goog-remb"),
        (feedback.nack, "nack"),
        (feedback.pli, "nack pli"),
        (feedback.fir, "ccm fir"),
    ];
    for (_, line) in lines.into_iter().filter(|(on, _)| *on) {
        write!(out, "a=rtcp-fb:{payload_type} {line}\r\n")?;
    }
    if let Some(rtx) = rtx {
        let clock = codec.clock_rate();
        write!(out, "a=rtpmap:{rtx} rtx/{clock}\r\na=fmtp:{rtx} apt={payload_type}\r\n")?;
    }
    Ok(())
}

fn write_msid(out: &mut String, msid: &Msid) -> std::fmt::Result {
    write!(out, "a=msid:{} {}\r\n", msid.stream, msid.track)?;
    if let Some(rtx) = msid.rtx_ssrc {
        write!(out, "a=ssrc-group:FID {} {rtx}\r\n", msid.ssrc)?;
    }
    for ssrc in [Some(msid.ssrc), msid.rtx_ssrc].into_iter().flatten() {
        write!(out, "a=ssrc:{ssrc} cname:{}\r\n", msid.stream)?;
    }
    Ok(())
}
