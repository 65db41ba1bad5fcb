//! A WebSocket over a byte stream: messages in, frames out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use signaling_core::Frame as Text;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{Incoming, Opcode, Reader, head};
use crate::duplex::Fault;

/// The most bytes in one read.
const READ: usize = 4 * 1024;
/// The most frames in one write.
const WRITE: usize = 32;
/// Up to this many bytes, frames are copied together for the write.
const TOGETHER: usize = 4 * 1024;

/// A WebSocket after its handshake. Its futures are cancel-safe: nothing is lost if one is dropped early.
pub(crate) struct Socket<T> {
    io: T,
    reader: Reader,
    /// Frames to write, the oldest first.
    out: VecDeque<Frame>,
}

struct Frame {
    /// The frame's head and the prefix of the payload.
    head: [u8; HEAD],
    head_length: u8,
    /// Shared by all recipients.
    payload: Arc<Text>,
    after: &'static [u8],
    /// Bytes of the whole frame that have been written.
    written: usize,
}

/// Room for the longest head and the prefix of a payload.
const HEAD: usize = 10 + 30;

impl Frame {
    fn new(opcode: Opcode, before: &[u8], payload: Arc<Text>, after: &'static [u8]) -> Self {
        let (bytes, length) = head(opcode, before.len() + payload.json.len() + after.len());
        let mut head = [0; HEAD];
        head.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
        head.iter_mut().skip(usize::from(length)).zip(before).for_each(|(slot, byte)| *slot = *byte);
        let head_length = length + u8::try_from(before.len()).unwrap_or_default();
        Self { head, head_length, payload, after, written: 0 }
    }

    /// A frame whose payload is not shared.
    fn own(opcode: Opcode, payload: Bytes) -> Self {
        Self::new(opcode, b"", Arc::new(Text { id: None, json: payload }), b"")
    }

    fn length(&self) -> usize {
        usize::from(self.head_length) + self.payload.json.len() + self.after.len()
    }

    fn left(&self) -> usize {
        self.length() - self.written
    }

    /// The unwritten parts of the head, the payload and the suffix.
    fn rest(&self) -> [&[u8]; 3] {
        let mut written = self.written;
        let head = self.head.get(..usize::from(self.head_length)).unwrap_or_default();
        [head, &self.payload.json, self.after].map(|part| {
            let rest = part.get(written.min(part.len())..).unwrap_or_default();
            written = written.saturating_sub(part.len());
            rest
        })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket<T> {
    /// A socket for messages of at most `largest` bytes; `early` are bytes of the client that were read already.
    pub(crate) fn new(io: T, early: &[u8], largest: usize) -> Self {
        let mut reader = Reader::new(largest);
        reader.push(early);
        Self { io, reader, out: VecDeque::new() }
    }

    /// The next message, after pings are answered; `None` if the other side is gone.
    pub(crate) async fn recv(&mut self) -> Option<Result<Incoming, Fault>> {
        loop {
            match self.reader.next() {
                Ok(Some(Incoming::Ping(payload))) => {
                    self.out.push_back(Frame::own(Opcode::Pong, payload.into()));
                }
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(fault) => return Some(Err(fault)),
                Ok(None) => {
                    // A client cannot avoid reading the answers by sending on and on.
                    self.flush().await.ok()?;
                    if self.read().await.ok()? == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// Reads once. The buffer lives only for the call, so thousands of idle connections need none.
    async fn read(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut buffer = [MaybeUninit::uninit(); READ];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.reader.push(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Reads and discards until the other side closes.
    pub(crate) async fn drain(&mut self) {
        while let Ok(1..) = self.read().await {
            self.reader.clear();
        }
    }

    /// Queues a text message.
    pub(crate) fn push_text(&mut self, text: Bytes) {
        self.out.push_back(Frame::own(Opcode::Text, text));
    }

    /// As [`Self::push_text`] for an event or an answer, with at most 30 bytes before the text and a suffix after it.
    pub(crate) fn push(&mut self, before: &[u8], text: Arc<Text>, after: &'static [u8]) {
        self.out.push_back(Frame::new(Opcode::Text, before, text, after));
    }

    /// Queues a close frame; without a code its payload is empty.
    pub(crate) fn push_close(&mut self, code: Option<u16>, reason: &str) {
        let code = code.map(u16::to_be_bytes);
        let payload: Vec<u8> = code.iter().flatten().copied().chain(reason.bytes()).collect();
        self.out.push_back(Frame::own(Opcode::Close, payload.into()));
    }

    /// Writes every queued frame, many in one system call.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            while !self.out.is_empty() {
                let left: usize = self.out.iter().map(Frame::left).sum();
                let written =
                    ready!(if left <= TOGETHER { self.write_copied(cx) } else { self.write_shared(cx) })?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                if written == left { self.out.clear() } else { self.advance(written) }
            }
            // The capacity for a large batch is not worth keeping.
            if self.out.capacity() > 4 {
                self.out = VecDeque::new();
            }
            Pin::new(&mut self.io).poll_flush(cx)
        })
        .await
    }

    /// Writes few remaining bytes as a copy: one piece costs the system less than many.
    fn write_copied(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [MaybeUninit::uninit(); TOGETHER];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        for part in self.out.iter().flat_map(Frame::rest) {
            buffer.put_slice(part);
        }
        Pin::new(&mut self.io).poll_write(cx, buffer.filled())
    }

    /// Writes the texts from where they are, without a copy.
    fn write_shared(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); 3 * WRITE];
        let mut count = 0;
        let parts = self.out.iter().flat_map(Frame::rest);
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(frame) = self.out.front_mut() {
            let left = frame.left();
            if written < left {
                frame.written += written;
                return;
            }
            written -= left;
            self.out.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn frames_arrive_whole_however_little_fits_at_once() {
        for room in [1, 3, 7, 100_000] {
            let (mut client, server) = duplex(room);
            let mut socket = Socket::new(server, b"", 1024);
            let texts: Vec<Bytes> = (0..70).map(|n| vec![b'a'; n * 3].into()).collect();
            for text in &texts {
                socket.push_text(text.clone());
            }
            socket.push_close(Some(4408), "slow");
            let writing = async {
                socket.flush().await.unwrap();
                drop(socket);
            };
            let mut read = Vec::new();
            let reading = client.read_to_end(&mut read);
            tokio::join!(writing, async { reading.await.unwrap() });
            let mut expected = Vec::new();
            for text in &texts {
                let (head, length) = head(Opcode::Text, text.len());
                expected.extend(&head[..usize::from(length)]);
                expected.extend(text);
            }
            expected.extend([0x88, 6, 0x11, 0x38, b's', b'l', b'o', b'w']);
            assert_eq!(read, expected);
        }
    }

    #[tokio::test]
    async fn a_ping_is_answered_while_the_next_message_is_awaited() {
        let (mut client, server) = duplex(1024);
        let mut socket = Socket::new(server, b"", 1024);
        // Masked with zeros.
        client.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
        let mut answer = [0; 4];
        tokio::select! {
            _ = socket.recv() => panic!("no message was sent"),
            read = client.read_exact(&mut answer) => drop(read.unwrap()),
        }
        assert_eq!(answer, [0x8a, 2, b'h', b'i']);
        client.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
        assert_eq!(socket.recv().await, Some(Ok(Incoming::Text("x".into()))));
        drop(client);
        assert_eq!(socket.recv().await, None);
    }
}
