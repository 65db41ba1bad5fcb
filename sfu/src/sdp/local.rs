//! The server's descriptions.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{Direction, ExtensionMap, RemoteSection, Setup, WrittenCodec};
use crate::codec::MediaKind;
use crate::dtls::Fingerprint;

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
        /// The names of the layers that are received, as offered.
        rids: Vec<String>,
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
    /// The TCP port at which the same addresses accept media (RFC 6544), if they do.
    pub tcp_port: Option<u16>,
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
                SectionState::Active { direction, codecs, extensions, msid, rids } => {
                    self.write_transport(out, section, codecs, first == Some(section.mid.as_str()))?;
                    write!(out, "a={}\r\n", direction.as_str())?;
                    for (extension, id) in extensions.iter() {
                        write!(out, "a=extmap:{id} {}\r\n", extension.uri())?;
                    }
                    for codec in codecs {
                        codec.write(out)?;
                    }
                    if let Some(msid) = msid {
                        write_msid(out, msid)?;
                    }
                    write_rids(out, rids)?;
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
            out.extend(candidate_lines(self.candidates, self.tcp_port));
            out.push_str("a=end-of-candidates\r\n");
        }
        Ok(())
    }
}

/// Addresses at which media over TCP is offered, best first: a client opens a connection to each.
const MAX_TCP_CANDIDATES: usize = 4;

/// Host candidates as SDP lines, in descending order of priority (RFC 8445 section 5.1.2.1): first those of UDP, then
/// the passive ones of TCP (RFC 6544).
pub(crate) fn candidate_lines(
    candidates: &[SocketAddr],
    tcp_port: Option<u16>,
) -> impl Iterator<Item = String> + '_ {
    let udp = candidates.iter().zip(0_u32..).map(|(candidate, at)| {
        let priority = 126 << 24 | 65_535_u32.saturating_sub(at) << 8 | 255;
        let (ip, port) = (candidate.ip(), candidate.port());
        format!("a=candidate:{} 1 udp {priority} {ip} {port} typ host\r\n", at + 1)
    });
    let tcp = tcp_port.into_iter().flat_map(|port| {
        candidates.iter().take(MAX_TCP_CANDIDATES).zip(0_u32..).map(move |(candidate, at)| {
            // A lower type preference than any of UDP, and the direction preference of passive host candidates
            // (RFC 6544 section 4.2).
            let local = 4 << 13 | 8_191_u32.saturating_sub(at);
            let (ip, priority) = (candidate.ip(), 90 << 24 | local << 8 | 255);
            format!("a=candidate:t{} 1 tcp {priority} {ip} {port} typ host tcptype passive\r\n", at + 1)
        })
    });
    udp.chain(tcp)
}

/// The layers that the server receives (RFC 8851, RFC 8853).
fn write_rids(out: &mut String, rids: &[String]) -> std::fmt::Result {
    if rids.is_empty() {
        return Ok(());
    }
    for rid in rids {
        write!(out, "a=rid:{rid} recv\r\n")?;
    }
    write!(out, "a=simulcast:recv {}\r\n", rids.join(";"))
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
