//! Sender and receiver reports (RFC 3550 section 6.4).

use super::packet::{RR, SR, begin_packet, end_packet};
use crate::wire::{Writer, u8_at, u24_at, u32_at, u64_at};

/// A time in NTP format: seconds since 1900 in the upper 32 bits, and their fraction in the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits in units of 1/65,536 s, as used in reports.
    pub fn middle(self) -> u32 {
        u32::try_from(self.0 >> 16 & 0xffff_ffff).unwrap_or(0)
    }

    /// This time plus `micros` microseconds.
    #[must_use]
    pub fn plus_micros(self, micros: u64) -> Self {
        let fractions = (u128::from(micros) << 32) / 1_000_000;
        Self(self.0.wrapping_add(u64::try_from(fractions).unwrap_or(0)))
    }
}

/// The clocks and counters of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The wall clock of the sender.
    pub ntp: NtpTime,
    /// The RTP timestamp of the same instant.
    pub rtp_timestamp: u32,
    /// The number of packets sent.
    pub packets: u32,
    /// The number of payload bytes sent.
    pub octets: u32,
}

impl SenderInfo {
    pub(super) fn parse(info: &[u8]) -> Option<Self> {
        Some(Self {
            ntp: NtpTime(u64_at(info, 0)?),
            rtp_timestamp: u32_at(info, 8)?,
            packets: u32_at(info, 12)?,
            octets: u32_at(info, 16)?,
        })
    }
}

/// One reception report block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceptionReport {
    /// The SSRC of the reported stream.
    pub ssrc: u32,
    /// The fraction of packets lost since the last report, in units of 1/256.
    pub fraction_lost: u8,
    /// The number of packets lost since the beginning, in 24 bits.
    pub lost: u32,
    /// The extended highest sequence number.
    pub highest_sequence: u32,
    /// The interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// [`NtpTime::middle`] of the last sender report; 0 if there was none.
    pub last_sender_report: u32,
    /// The delay since that report in units of 1/65,536 s.
    pub delay_since_last: u32,
}

impl ReceptionReport {
    pub(super) fn parse(block: &[u8]) -> Option<Self> {
        Some(Self {
            ssrc: u32_at(block, 0)?,
            fraction_lost: u8_at(block, 4)?,
            lost: u24_at(block, 5)?,
            highest_sequence: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sender_report: u32_at(block, 16)?,
            delay_since_last: u32_at(block, 20)?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.ssrc);
        writer.u8(self.fraction_lost);
        writer.u24(self.lost);
        writer.u32(self.highest_sequence);
        writer.u32(self.jitter);
        writer.u32(self.last_sender_report);
        writer.u32(self.delay_since_last);
    }
}

/// Appends a sender report without reception reports.
pub(crate) fn write_sender_report(writer: &mut Writer<'_>, ssrc: u32, info: &SenderInfo) {
    let at = begin_packet(writer, 0, SR);
    writer.u32(ssrc);
    writer.bytes(&info.ntp.0.to_be_bytes());
    writer.u32(info.rtp_timestamp);
    writer.u32(info.packets);
    writer.u32(info.octets);
    end_packet(writer, at);
}

/// Appends a receiver report with at most 31 blocks.
pub(crate) fn write_receiver_report(writer: &mut Writer<'_>, sender: u32, reports: &[ReceptionReport]) {
    let reports = reports.get(..reports.len().min(31)).unwrap_or_default();
    let at = begin_packet(writer, u8::try_from(reports.len()).unwrap_or(0), RR);
    writer.u32(sender);
    for report in reports {
        report.write(writer);
    }
    end_packet(writer, at);
}
