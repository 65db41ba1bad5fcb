//! A publisher of several layers of one picture (simulcast).

use std::collections::VecDeque;

use rand::Rng;

use super::{Client, MID_ID, RTX, VP8};
use crate::rtcp::{NtpTime, SenderInfo, write_sender_report};
use crate::rtp::NewHeader;
use crate::sdp::Extension;
use crate::testing::Frame;

const STREAM_ID: u8 = 5;
const REPAIRED_STREAM_ID: u8 = 6;
/// Packets of a layer that are kept for retransmission.
const KEPT: usize = 1_000;

/// One layer that is sent.
pub(super) struct Layer {
    rid: String,
    size: (u16, u16),
    /// The number of packets of a picture, of sixteen of the best layer.
    share: u16,
    is_active: bool,
    ssrc: u32,
    rtx_ssrc: u32,
    next: u64,
    rtx_next: u64,
    /// Each layer has timestamps of its own.
    first_timestamp: u32,
    key_wanted: bool,
    last_key_micros: Option<u64>,
    sent: VecDeque<(u16, u32, bool, Vec<u8>)>,
}

impl Client {
    /// Sends the video in layers with these names and widths; a layer of half the width has a quarter of the packets.
    pub fn send_in_layers(&mut self, layers: &[(&str, u16)]) {
        let widest = layers.iter().map(|(_, width)| *width).max().unwrap_or(1);
        for (rid, width) in layers {
            let share = u32::from(*width) * u32::from(*width) * 16 / (u32::from(widest) * u32::from(widest));
            self.layers.push(Layer {
                rid: (*rid).to_owned(),
                size: (*width, width / 16 * 9),
                share: u16::try_from(share).unwrap_or(16),
                is_active: true,
                ssrc: self.rng.next_u32(),
                rtx_ssrc: self.rng.next_u32(),
                next: u64::from(self.rng.next_u32() & 0x7fff),
                rtx_next: 1,
                first_timestamp: self.rng.next_u32(),
                key_wanted: true,
                last_key_micros: None,
                sent: VecDeque::new(),
            });
        }
    }

    /// Starts or stops to send a layer.
    pub fn set_active(&mut self, rid: &str, active: bool) {
        for layer in self.layers.iter_mut().filter(|layer| layer.rid == rid) {
            layer.key_wanted |= active && !layer.is_active;
            layer.is_active = active;
        }
    }

    pub(super) fn describe_layers(&self) -> String {
        if self.layers.is_empty() || !self.names_layers {
            return String::new();
        }
        let rids: Vec<_> = self.layers.iter().map(|layer| layer.rid.as_str()).collect();
        let lines: Vec<_> = rids.iter().map(|rid| format!("a=rid:{rid} send\r\n")).collect();
        format!(
            "a=extmap:{STREAM_ID} {}\r\na=extmap:{REPAIRED_STREAM_ID} {}\r\n{}a=simulcast:send {}\r\n",
            Extension::StreamId.uri(),
            Extension::RepairedStreamId.uri(),
            lines.concat(),
            rids.join(";"),
        )
    }

    /// Sends a picture in each layer; the best one has this many packets.
    pub(super) fn send_layers(&mut self, now_micros: u64, packets: u16) {
        let number = self.frames;
        self.frames += 1;
        for at in 0..self.layers.len() {
            let Some(layer) = self.layers.get_mut(at).filter(|layer| layer.is_active) else { continue };
            let is_key = std::mem::replace(&mut layer.key_wanted, false);
            if is_key {
                layer.last_key_micros = Some(now_micros);
            }
            let factor = if is_key { self.key_packets_factor } else { 1 };
            let (size, packets) = (layer.size, (packets * layer.share / 16).max(1) * factor);
            let timestamp = layer.first_timestamp.wrapping_add(number.wrapping_mul(3_000));
            for packet in 0..packets {
                let frame = Frame { number, packet, packets, is_key, sent_micros: now_micros, size };
                self.send_in_layer(at, timestamp, packet + 1 == packets, frame.to_vp8());
            }
        }
    }

    /// Sends an encoded packet of a picture with this number in the layer with this name.
    pub fn send_payload(&mut self, rid: &str, number: u32, marker: bool, payload: Vec<u8>) {
        self.frames = self.frames.max(number + 1);
        let Some(at) = self.layers.iter().position(|layer| layer.rid == rid) else { return };
        let first = self.layers.get(at).map_or(0, |layer| layer.first_timestamp);
        self.send_in_layer(at, first.wrapping_add(number.wrapping_mul(3_000)), marker, payload);
    }

    /// Sends a packet of a layer, which is given by its index. `timestamp` is that of the layer.
    fn send_in_layer(&mut self, at: usize, timestamp: u32, marker: bool, payload: Vec<u8>) {
        let Some(layer) = self.layers.get_mut(at) else { return };
        let index = layer.next;
        layer.next += 1;
        let (ssrc, rid) = (layer.ssrc, layer.rid.clone());
        let sequence = u16::try_from(index & 0xffff).unwrap_or(0);
        let header = NewHeader { marker, payload_type: VP8, sequence, timestamp, ssrc, padding: false };
        let name = self.names_layers.then_some((STREAM_ID, rid.as_bytes()));
        self.send_packet(header, index, &[Some((MID_ID, b"1".as_slice())), name], &payload);
        if let Some(layer) = self.layers.get_mut(at) {
            layer.sent.push_back((sequence, timestamp, marker, payload));
            if layer.sent.len() > KEPT {
                layer.sent.pop_front();
            }
        }
    }

    /// Handles a request for a key frame; `false` if its SSRC is none of a layer.
    pub(super) fn wants_layer(&mut self, now_micros: u64, ssrc: u32) -> bool {
        let Some(layer) = self.layers.iter_mut().find(|layer| layer.ssrc == ssrc) else { return false };
        let rested = layer.last_key_micros.is_none_or(|at| now_micros > at + self.key_rest_micros);
        layer.key_wanted |= rested;
        self.keyframe_requests.push(now_micros);
        true
    }

    /// Sends packets of a layer again; `false` if the SSRC is none of a layer.
    pub(super) fn repair_layer(&mut self, ssrc: u32, lost: &[u16]) -> bool {
        let Some(at) = self.layers.iter().position(|layer| layer.ssrc == ssrc) else { return false };
        for sequence in lost {
            let Some(layer) = self.layers.get_mut(at) else { break };
            let Some((_, timestamp, marker, payload)) = layer.sent.iter().find(|it| it.0 == *sequence) else {
                continue;
            };
            let mut again = sequence.to_be_bytes().to_vec();
            again.extend(payload);
            let (index, timestamp, marker) = (layer.rtx_next, *timestamp, *marker);
            layer.rtx_next += 1;
            let (ssrc, rid) = (layer.rtx_ssrc, layer.rid.clone());
            let number = u16::try_from(index & 0xffff).unwrap_or(0);
            let header =
                NewHeader { marker, payload_type: RTX, sequence: number, timestamp, ssrc, padding: false };
            let name = self.names_layers.then_some((REPAIRED_STREAM_ID, rid.as_bytes()));
            self.send_packet(header, index, &[Some((MID_ID, b"1".as_slice())), name], &again);
        }
        true
    }

    /// Sends a sender report on each layer.
    pub(super) fn report_layers(&mut self, now_micros: u64) {
        let ntp = NtpTime(0xe000_0000_0000_0000).plus_micros(now_micros);
        let frames = self.frames;
        let reports: Vec<_> = self
            .layers
            .iter()
            .map(|layer| (layer.ssrc, layer.first_timestamp.wrapping_add(frames.wrapping_mul(3_000))))
            .collect();
        for (ssrc, rtp_timestamp) in reports {
            let info = SenderInfo { ntp, rtp_timestamp, packets: 1, octets: 1 };
            self.send_rtcp(|writer| write_sender_report(writer, ssrc, &info));
        }
    }
}
