//! The send queue of an event loop.

use crate::batch::Batch;
use crate::send::Sender;
use crate::socket::Route;

/// Bytes that are gathered before they must be sent.
const MAX_BYTES: usize = 1 << 20;
/// Datagrams that are gathered before they must be sent.
const MAX_DATAGRAMS: usize = 4_096;

/// Datagrams that leave by many sockets, gathered over a turn of a loop and sent in as few system calls as can be.
#[derive(Default)]
pub struct Egress {
    batch: Batch<Route>,
    sender: Sender,
    /// Datagrams that the kernel refused.
    pub dropped: u64,
}

impl Egress {
    /// Queues a datagram made of `parts`. It is sent at [`Egress::flush`], or earlier when the queue is full.
    pub fn push<const N: usize>(&mut self, route: Route, parts: [&[u8]; N]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.batch.len() + len > MAX_BYTES || self.batch.datagrams() >= MAX_DATAGRAMS {
            self.flush();
        }
        self.batch.push(route, parts);
    }

    /// Sends everything that is queued.
    pub fn flush(&mut self) {
        self.dropped += self.sender.send(self.batch.runs());
        self.batch.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use std::net::{SocketAddr, UdpSocket};
    use std::time::Duration;

    use super::*;
    use crate::{Options, Socket};

    fn loopback() -> Socket {
        Socket::bind("127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap()
    }

    fn receive(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2_000];
        let length = socket.recv(&mut buffer).expect("a datagram");
        buffer.get(..length).unwrap().to_vec()
    }

    fn receiver() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn datagrams_of_several_sockets_arrive_in_order() {
        let (sockets, (peer, address)) = ([loopback(), loopback()], receiver());
        let mut egress = Egress::default();
        let runs: Vec<usize> = (0..50).map(|n| [1_200, 1_200, 700, 0, 5][n % 5]).collect();
        let more_messages_than_one_call_takes: Vec<usize> = (1..=100).collect();
        for (lengths, is_alternating) in [(runs, true), (more_messages_than_one_call_takes, false)] {
            for (at, length) in lengths.iter().enumerate() {
                let socket = &sockets[usize::from(is_alternating && at % 7 > 3)];
                let datagram = vec![1; *length];
                let (head, tail) = datagram.split_at(length / 2);
                egress.push(socket.route(address, None), [head, tail]);
            }
            egress.flush();
            for length in lengths {
                assert_eq!(receive(&peer).len(), length);
            }
        }
        assert_eq!(egress.dropped, 0);
    }

    #[test]
    fn a_destination_that_cannot_be_reached_costs_the_others_nothing() {
        let (socket, (peer, address)) = (loopback(), receiver());
        let mut egress = Egress::default();
        // A socket on loopback sends nowhere else.
        let unreachable = socket.route("192.0.2.1:9".parse().unwrap(), None);
        for datagram in [&b"1"[..], b"22", b"333"] {
            egress.push(unreachable, [datagram]);
            egress.push(unreachable, [datagram]);
            egress.push(socket.route(address, None), [datagram]);
        }
        egress.flush();
        assert_eq!([receive(&peer), receive(&peer), receive(&peer)], [&b"1"[..], b"22", b"333"]);
        assert_eq!(egress.dropped, 6);
    }

    #[test]
    fn a_full_queue_is_sent() {
        let (socket, (_peer, address)) = (loopback(), receiver());
        let mut egress = Egress::default();
        for _ in 0..2_000 {
            egress.push(socket.route(address, None), [&[0; 1_000]]);
            assert!(egress.batch.len() <= MAX_BYTES && egress.batch.datagrams() <= MAX_DATAGRAMS);
        }
    }

    #[test]
    fn an_error_of_an_earlier_packet_costs_a_connected_socket_nothing() {
        let away = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = loopback().connect_beside(away).unwrap();
        let mut egress = Egress::default();
        for payloads in [&[&b"one"[..]][..], &[b"same", b"size"], &[b"of", b"several", b"sizes"]] {
            // Nobody is there: the answer is an error that waits at the socket.
            socket.as_ref().send(b"lost").unwrap();
            let peer = UdpSocket::bind(away).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            for payload in payloads {
                egress.push(socket.route_to_peer(), [payload]);
            }
            egress.flush();
            for payload in payloads {
                assert_eq!(receive(&peer), *payload);
            }
        }
        assert_eq!(egress.dropped, 0);
    }
}
