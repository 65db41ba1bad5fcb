//! The RTCP that a forwarder uses, parsed without allocation: each packet of a compound is a view into the datagram.

mod nack;
mod packet;
mod remb;
mod report;
mod twcc;

pub use nack::Nack;
pub(crate) use nack::write_nack;
pub use remb::parse_remb;
pub(crate) use remb::write_remb;
pub use report::{NtpTime, ReceptionReport, SenderInfo};
pub(crate) use report::{write_receiver_report, write_sender_report};
pub(crate) use twcc::write_twcc;
pub use twcc::{Arrival, MAX_STATUSES, TwccFeedback};

use crate::wire::{Writer, u8_at, u16_at, u32_at};
use packet::{BYE, PSFB, RR, RTPFB, SDES, SR, begin_packet, end_packet};

/// One packet of a compound.
#[derive(Debug)]
pub enum Rtcp<'a> {
    /// A sender report with the sender's clock and its reception reports.
    SenderReport {
        /// The SSRC of the sender.
        ssrc: u32,
        /// The clock and the counters.
        info: SenderInfo,
        /// The reception report blocks.
        reports: Reports<'a>,
    },
    /// A receiver report.
    ReceiverReport {
        /// The reception report blocks.
        reports: Reports<'a>,
    },
    /// A generic NACK (RFC 4585 section 6.2.1).
    Nack(Nack<'a>),
    /// A picture loss indication (RFC 4585 section 6.3.1) for this SSRC.
    Pli(u32),
    /// A full intra request (RFC 5104 section 4.3.1) for these SSRCs.
    Fir(FirTargets<'a>),
    /// Transport-wide congestion control feedback.
    Twcc(TwccFeedback<'a>),
    /// A receiver estimated maximum bitrate, in bits per second.
    Remb(u64),
    /// A goodbye of these sources.
    Bye(Ssrcs<'a>),
}

/// Iterates over the supported packets of a compound. Ends at the first packet with an invalid length or version.
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Reads a decrypted compound packet.
    pub fn new(packet: &'a [u8]) -> Self {
        Self { rest: packet }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Rtcp<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = u8_at(self.rest, 0)?;
            let packet_type = u8_at(self.rest, 1)?;
            let len = (usize::from(u16_at(self.rest, 2)?) + 1) * 4;
            let (packet, rest) = self.rest.split_at_checked(len)?;
            if first >> 6 != 2 {
                return None;
            }
            self.rest = rest;
            if let Some(parsed) = parse(first & 0x1f, packet_type, packet) {
                return Some(parsed);
            }
        }
    }
}

fn parse(count: u8, packet_type: u8, packet: &[u8]) -> Option<Rtcp<'_>> {
    match (packet_type, count) {
        (SR, _) => Some(Rtcp::SenderReport {
            ssrc: u32_at(packet, 4)?,
            info: SenderInfo::parse(packet.get(8..28)?)?,
            reports: Reports { rest: packet.get(28..)?, left: count },
        }),
        (RR, _) => Some(Rtcp::ReceiverReport { reports: Reports { rest: packet.get(8..)?, left: count } }),
        (BYE, _) => Some(Rtcp::Bye(Ssrcs { rest: packet.get(4..)?, left: count })),
        (RTPFB, 1) => Some(Rtcp::Nack(Nack { ssrc: u32_at(packet, 8)?, items: packet.get(12..)? })),
        (RTPFB, 15) => TwccFeedback::parse(packet).map(Rtcp::Twcc),
        (PSFB, 1) => Some(Rtcp::Pli(u32_at(packet, 8)?)),
        (PSFB, 4) => Some(Rtcp::Fir(FirTargets { rest: packet.get(12..)? })),
        (PSFB, 15) => parse_remb(packet).map(Rtcp::Remb),
        _ => None,
    }
}

/// Iterates over reception report blocks.
#[derive(Clone, Debug)]
pub struct Reports<'a> {
    rest: &'a [u8],
    left: u8,
}

impl Iterator for Reports<'_> {
    type Item = ReceptionReport;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (block, rest) = self.rest.split_at_checked(24)?;
        self.rest = rest;
        ReceptionReport::parse(block)
    }
}

/// Iterates over the targets of a full intra request.
#[derive(Clone, Debug)]
pub struct FirTargets<'a> {
    rest: &'a [u8],
}

impl Iterator for FirTargets<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.rest.split_at_checked(8)?;
        self.rest = rest;
        u32_at(entry, 0)
    }
}

/// Iterates over a list of SSRCs.
#[derive(Clone, Debug)]
pub struct Ssrcs<'a> {
    rest: &'a [u8],
    left: u8,
}

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (ssrc, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        u32_at(ssrc, 0)
    }
}

/// Appends a picture loss indication.
pub(crate) fn write_pli(writer: &mut Writer<'_>, sender: u32, media: u32) {
    let at = begin_packet(writer, 1, PSFB);
    writer.u32(sender);
    writer.u32(media);
    end_packet(writer, at);
}

/// Appends a full intra request; `sequence` must grow with each new request.
pub(crate) fn write_fir(writer: &mut Writer<'_>, sender: u32, media: u32, sequence: u8) {
    let at = begin_packet(writer, 4, PSFB);
    writer.u32(sender);
    writer.u32(0);
    writer.u32(media);
    writer.bytes(&[sequence, 0, 0, 0]);
    end_packet(writer, at);
}

/// Appends the canonical name, which every compound contains (RFC 3550 section 6.1).
pub(crate) fn write_cname(writer: &mut Writer<'_>, ssrc: u32, cname: &str) {
    let at = begin_packet(writer, 1, SDES);
    writer.u32(ssrc);
    let name = cname.as_bytes().get(..cname.len().min(255)).unwrap_or_default();
    writer.bytes(&[1, u8::try_from(name.len()).unwrap_or(0)]);
    writer.bytes(name);
    // The item list ends with at least one zero byte.
    writer.u8(0);
    end_packet(writer, at);
}

#[cfg(test)]
mod tests;
