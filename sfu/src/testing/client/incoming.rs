//! Handles the media that the client receives, and sends feedback on it.

use super::{Client, REPORT_MICROS, RTX, Received};
use crate::codec::MediaKind;
use crate::receive::Receiver;
use crate::rtcp::{Compound, Rtcp, write_nack, write_pli, write_receiver_report};
use crate::rtp::RtpHeader;
use crate::testing::Frame;
use crate::time::Micros;
use crate::wire::u16_at;

/// A received stream.
pub(super) struct Incoming {
    receiver: Receiver,
    last_pli: u64,
}

impl Client {
    pub(super) fn on_rtp(&mut self, now_micros: u64, datagram: &mut [u8]) {
        let Some((_, opener)) = &mut self.keys else { return };
        let Some(header) = RtpHeader::parse(datagram) else { return };
        let known = self.payload_types.get(&header.payload_type).copied();
        let id = self.transport_sequence_id;
        // Header extensions are authenticated, not encrypted, so a client that only counts packets can read them.
        let sequence = header.extensions(datagram).find(|(at, _)| Some(*at) == id);
        let sequence = sequence.and_then(|(_, sequence)| u16_at(sequence, 0));
        let plain = self.plays.then(|| opener.open_rtp(datagram, header.len, header.ssrc));
        if let Some(Err(_)) = plain {
            return;
        }
        if let Some(sequence) = sequence {
            self.arrivals.on_packet(sequence, Micros(now_micros));
        }
        self.media_packets += u64::from(known.is_some_and(|(_, is_rtx)| !is_rtx));
        let Some(Ok((len, index))) = plain else { return };
        let Some(packet) = datagram.get(..len) else { return };
        let Some((kind, is_rtx)) = known else { return };
        let Some(mut payload) = header.payload(packet) else { return };
        if kind == MediaKind::Audio {
            *self.audio_packets.entry(header.ssrc).or_default() += 1;
            let (payload_type, newest) = self.newest_sound.entry(header.ssrc).or_default();
            *payload_type = header.payload_type;
            newest.clear();
            newest.extend_from_slice(payload);
            return;
        }
        let ssrc = if is_rtx {
            if payload.is_empty() {
                // Padding.
                return;
            }
            self.retransmissions += 1;
            let Some((ssrc, position)) = self.original(payload) else { return };
            payload = payload.get(2..).unwrap_or_default();
            if let Some(stream) = self.streams.get_mut(&ssrc) {
                stream.receiver.on_packet(position, header.timestamp, Micros(now_micros), true, true);
            }
            ssrc
        } else {
            let stream = self.streams.entry(header.ssrc).or_insert_with(|| Incoming {
                receiver: Receiver::new(header.ssrc, 90_000, 1 << 20, None),
                last_pli: 0,
            });
            let position = stream.receiver.position_of_index(index);
            stream.receiver.on_packet(position, header.timestamp, Micros(now_micros), false, true);
            header.ssrc
        };
        if let Some(kept) = &mut self.kept {
            let RtpHeader { sequence, timestamp, marker, .. } = header;
            kept.push(Received { sequence, timestamp, marker, payload: payload.to_vec() });
        } else if let Some(frame) = Frame::from_vp8(payload) {
            self.playback.entry(ssrc).or_default().on_packet(frame, now_micros);
        }
    }

    /// Finds the stream of a retransmission, which does not name it: by the picture in it in a test with one publisher,
    /// and with several by the stream that is missing its sequence number.
    fn original(&self, payload: &[u8]) -> Option<(u32, u64)> {
        let sequence = u16_at(payload, 0)?;
        self.streams.iter().find_map(|(ssrc, stream)| {
            let position = stream.receiver.position_of_sequence(sequence)?;
            stream.receiver.misses(position).then_some((*ssrc, position))
        })
    }

    pub(super) fn on_rtcp(&mut self, now_micros: u64, datagram: &mut [u8]) {
        let Some((_, opener)) = &mut self.keys else { return };
        let Ok(len) = opener.open_rtcp(datagram) else { return };
        let Some(compound) = datagram.get(..len) else { return };
        for packet in Compound::new(compound) {
            match packet {
                Rtcp::Pli(ssrc) if self.wants_layer(now_micros, ssrc) => {}
                Rtcp::Pli(_) | Rtcp::Fir(_) => {
                    let rested = self.last_key_micros.is_none_or(|at| now_micros > at + self.key_rest_micros);
                    self.key_wanted |= rested;
                    self.keyframe_requests.push(now_micros);
                }
                Rtcp::Nack(nack) => {
                    let lost: Vec<_> = nack.sequences().collect();
                    if self.repair_layer(nack.ssrc, &lost) {
                        continue;
                    }
                    for sequence in lost {
                        self.send_again(sequence);
                    }
                }
                Rtcp::SenderReport { ssrc, info, .. } => {
                    self.sender_reports.insert(ssrc, info);
                }
                _ => {}
            }
        }
    }

    fn send_again(&mut self, sequence: u16) {
        let Some((_, timestamp, marker, payload)) = self.video.iter().find(|(known, ..)| *known == sequence)
        else {
            return;
        };
        let (timestamp, marker) = (*timestamp, *marker);
        let mut again = sequence.to_be_bytes().to_vec();
        again.extend(payload);
        self.send_rtp(2, RTX, timestamp, marker, &again, None);
    }

    pub(super) fn give_feedback(&mut self, now_micros: u64) {
        let (mut nacks, mut plis) = (Vec::new(), Vec::new());
        for (ssrc, stream) in &mut self.streams {
            let mut lost = Vec::new();
            stream.receiver.requests(Micros(now_micros), &mut lost);
            if !lost.is_empty() {
                nacks.push((*ssrc, lost));
            }
            let is_stuck = self.playback.get(ssrc).is_none_or(|playback| playback.is_stuck(now_micros));
            if is_stuck && now_micros > stream.last_pli + 500_000 {
                stream.last_pli = now_micros;
                plis.push(*ssrc);
            }
        }
        if self.asks_again {
            for (ssrc, lost) in nacks {
                self.send_rtcp(|writer| write_nack(writer, 1, ssrc, lost.into_iter().take(250)));
            }
        }
        for ssrc in plis {
            self.send_rtcp(|writer| write_pli(writer, 1, ssrc));
        }
        if !self.gives_feedback && self.next_report <= now_micros {
            self.next_report = now_micros + REPORT_MICROS;
            let reports: Vec<_> = self
                .streams
                .values_mut()
                .map(|stream| stream.receiver.report(None, Micros(now_micros)))
                .collect();
            self.send_rtcp(|writer| write_receiver_report(writer, 1, &reports));
        }
        while self.gives_feedback && self.arrivals.due_at().is_some_and(|due| due <= Micros(now_micros)) {
            let mut arrivals = std::mem::take(&mut self.arrivals);
            self.send_rtcp(|writer| arrivals.write(writer, 1, 1));
            self.arrivals = arrivals;
        }
    }
}
