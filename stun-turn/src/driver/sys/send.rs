//! Batches of datagrams on their way out.

use std::ffi::c_int;
use std::io;
use std::mem::{self, size_of};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::ptr;

use super::{Control, EMPTY_CONTROL, RawAddress, check};

/// Messages that one call sends at most.
pub(in crate::driver) const SEND_BATCH: usize = 64;

/// One message to send: one datagram, or several of `segment` bytes each (the last may be shorter).
#[derive(Clone, Copy)]
pub(in crate::driver) struct Outgoing<'a> {
    pub(in crate::driver) bytes: &'a [u8],
    /// `None` for a single datagram.
    pub(in crate::driver) segment: Option<u16>,
    /// `None` on a socket that is connected.
    pub(in crate::driver) to: Option<&'a RawAddress>,
    /// The source address, on a socket that is bound to all.
    pub(in crate::driver) from: Option<IpAddr>,
}

/// Headers for a batch to send.
pub(in crate::driver) struct Sender {
    vectors: Box<[libc::iovec; SEND_BATCH]>,
    controls: Box<[Control; SEND_BATCH]>,
    messages: Box<[libc::mmsghdr; SEND_BATCH]>,
}

// SAFETY: the pointers in the headers are only followed inside of `send`, which sets them anew from its arguments.
unsafe impl Send for Sender {}

impl Sender {
    pub(in crate::driver) fn new() -> Self {
        // SAFETY: both are plain C structs for which zeros are a valid value.
        let (vectors, messages) = unsafe { (Box::new(mem::zeroed()), Box::new(mem::zeroed())) };
        Self { vectors, controls: Box::new([EMPTY_CONTROL; SEND_BATCH]), messages }
    }

    /// Sends messages from one socket, at most [`SEND_BATCH`]; gives how many were taken, or the error of the first.
    pub(in crate::driver) fn send<'a>(
        &mut self,
        socket: RawFd,
        batch: impl Iterator<Item = Outgoing<'a>>,
    ) -> io::Result<usize> {
        let mut count: c_int = 0;
        let slots = self.messages.iter_mut().zip(self.vectors.iter_mut().zip(self.controls.iter_mut()));
        for ((message, (vector, control)), outgoing) in slots.zip(batch) {
            vector.iov_base = outgoing.bytes.as_ptr().cast_mut().cast();
            vector.iov_len = outgoing.bytes.len();
            let (name, length) = outgoing.to.map_or((ptr::null(), 0), RawAddress::as_ptr);
            let header = &mut message.msg_hdr;
            header.msg_name = name.cast_mut().cast();
            header.msg_namelen = length;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            let length = write_control(&mut control.0, &outgoing);
            header.msg_control = if length == 0 { ptr::null_mut() } else { control.0.as_mut_ptr().cast() };
            header.msg_controllen = length;
            count += 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        if count == 1 {
            let Some(message) = self.messages.first() else { return Ok(0) };
            if let (true, Some(vector)) = (message.msg_hdr.msg_control.is_null(), self.vectors.first()) {
                let name = message.msg_hdr.msg_name.cast::<libc::sockaddr>().cast_const();
                // SAFETY: buffer and name were set a moment ago from references that outlive the call. It spares the kernel
                // copying a header, which shows when every packet leaves from another socket.
                let result = unsafe {
                    libc::sendto(
                        socket,
                        vector.iov_base,
                        vector.iov_len,
                        flags,
                        name,
                        message.msg_hdr.msg_namelen,
                    )
                };
                return if result < 0 { Err(io::Error::last_os_error()) } else { Ok(1) };
            }
            // SAFETY: the header was set a moment ago from references that outlive the call.
            let result = unsafe { libc::sendmsg(socket, &raw const message.msg_hdr, flags) };
            return if result < 0 { Err(io::Error::last_os_error()) } else { Ok(1) };
        }
        // SAFETY: the first `count` headers were set a moment ago from references that outlive the call.
        let sent =
            unsafe { libc::sendmmsg(socket, self.messages.as_mut_ptr(), count.cast_unsigned(), flags) };
        check(sent).map(|sent| usize::try_from(sent).unwrap_or(0))
    }
}

/// Writes the control messages of `outgoing` and gives their length.
fn write_control(control: &mut [u8; 64], outgoing: &Outgoing<'_>) -> usize {
    let mut at = 0;
    if let Some(segment) = outgoing.segment {
        at = push_control(control, at, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    match outgoing.from {
        None => {}
        Some(IpAddr::V4(ip)) => {
            let mut info = [0; 12];
            if let Some(local) = info.get_mut(4..8) {
                local.copy_from_slice(&ip.octets());
            }
            at = push_control(control, at, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(ip)) => {
            let mut info = [0; 20];
            if let Some(local) = info.get_mut(..16) {
                local.copy_from_slice(&ip.octets());
            }
            at = push_control(control, at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
    }
    at
}

fn push_control(control: &mut [u8; 64], at: usize, level: c_int, kind: c_int, data: &[u8]) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let length = HEADER + data.len();
    let parts: [&[u8]; 4] = [&length.to_ne_bytes(), &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
    let mut offset = at;
    for part in parts {
        let Some(slot) = control.get_mut(offset..offset + part.len()) else { return at };
        slot.copy_from_slice(part);
        offset += part.len();
    }
    at + length.next_multiple_of(size_of::<usize>())
}
