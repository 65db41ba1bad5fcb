//! The codecs of a section: read from the client's descriptions, and written into the server's.

use std::fmt::Write as _;

use crate::codec::{Codec, MediaKind, parameter};

/// A payload type of a supported codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedCodec {
    /// The codec.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// Its format parameters as written.
    pub fmtp: String,
    /// The RTCP feedback that the client supports.
    pub feedback: Feedback,
}

/// The `a=rtcp-fb` lines of one payload type.
#[allow(clippy::struct_excessive_bools, reason = "each is a line that is there or is not")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// `nack`
    pub nack: bool,
    /// `nack pli`
    pub pli: bool,
    /// `ccm fir`
    pub fir: bool,
    /// `transport-cc`
    pub transport_cc: bool,
    /// `goog-remb`
    pub remb: bool,
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

impl WrittenCodec {
    /// Writes the attributes of the codec and of its retransmissions.
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        let WrittenCodec { codec, payload_type, rtx, fmtp, feedback } = self;
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
}

/// Combines the rtpmap, fmtp and rtcp-fb attributes of the payload types listed in the m-line.
pub(super) fn offered_codecs<'a, I: Iterator<Item = &'a str>>(
    kind: MediaKind,
    formats: &[String],
    values: &impl Fn(&'static str) -> I,
) -> Vec<OfferedCodec> {
    let of = |key: &'static str, payload_type: &str| {
        let payload_type = payload_type.to_owned();
        values(key).filter_map(move |value| {
            let (number, rest) = value.split_once(' ')?;
            (number == payload_type || number == "*").then_some(rest.trim())
        })
    };
    let encoding = |format: &str| -> Option<(String, u32)> {
        let mut parts = of("rtpmap", format).next()?.split('/');
        Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?))
    };
    let mut codecs = Vec::new();
    for format in formats {
        let (Ok(payload_type @ 0..=127), Some((name, clock))) = (format.parse::<u8>(), encoding(format))
        else {
            continue;
        };
        let fmtp = of("fmtp", format).next().unwrap_or_default();
        let Some(codec) = Codec::parse(&name, clock, fmtp).filter(|codec| codec.kind() == kind) else {
            continue;
        };
        let rtx = formats.iter().find(|rtx| {
            encoding(rtx).is_some_and(|(name, _)| name.eq_ignore_ascii_case("rtx"))
                && of("fmtp", rtx).next().and_then(|fmtp| parameter(fmtp, "apt")) == Some(format)
        });
        let mut feedback = Feedback::default();
        for line in of("rtcp-fb", format) {
            match line {
                "nack" => feedback.nack = true,
                "nack pli" => feedback.pli = true,
                "ccm fir" => feedback.fir = true,
                "transport-cc" => feedback.transport_cc = true,
                "goog-remb" => feedback.remb = true,
                _ => {}
            }
        }
        let rtx = rtx.and_then(|rtx| rtx.parse().ok()).filter(|rtx| *rtx <= 127);
        codecs.push(OfferedCodec { codec, payload_type, rtx, fmtp: fmtp.to_owned(), feedback });
    }
    codecs
}
