//! `recvmmsg`, `sendmmsg` and `ppoll`: the only unsafe code of the crate.
//!
//! Every pointer handed to the kernel points into a vector of the same struct that is neither moved nor resized between
//! the writing of the pointer and the return of the system call.

#![allow(
    clippy::cast_possible_truncation,
    reason = "counts and sizes of at most 64 and a kernel's constants, in the types that the kernel wants them in"
)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use libc::{c_int, c_void, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

use crate::egress::{Egress, Run};
use crate::path::{Carrier, Path};

/// Messages of one system call.
const BATCH: usize = 64;
/// Largest coalesced message.
const MESSAGE_BYTES: usize = 65_536;
/// Datagrams that one message may be cut into; the kernel's own limit is not lower.
const MAX_SEGMENTS: usize = 64;
/// Bytes of them together: an IPv4 packet with its headers.
const MAX_RUN_BYTES: usize = 65_000;

/// Room for the control messages used here (an integer and an address), aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 128]);

/// Makes the kernel coalesce equal datagrams of one source.
pub(super) fn enable_gro(socket: BorrowedFd<'_>) -> io::Result<()> {
    enable(socket, libc::SOL_UDP, libc::UDP_GRO)
}

/// Makes the kernel say to which of our addresses each datagram was sent.
pub(super) fn enable_packet_info(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        enable(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        enable(socket, libc::IPPROTO_IP, libc::IP_PKTINFO)
    }
}

fn enable(socket: BorrowedFd<'_>, level: c_int, option: c_int) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: the option's value is a c_int that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast::<c_void>(),
            len_of::<c_int>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until one of the files can be read or the time is over, and says which can.
pub(super) fn wait_readable<const N: usize>(
    files: [BorrowedFd<'_>; N],
    wait: Duration,
) -> io::Result<[bool; N]> {
    let mut polled =
        files.map(|file| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(wait.subsec_nanos()),
    };
    // SAFETY: `polled` holds N entries and `timeout` one; both live until the call returns.
    let result =
        unsafe { libc::ppoll(polled.as_mut_ptr(), N as libc::nfds_t, &raw const timeout, std::ptr::null()) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        return Ok([false; N]);
    }
    Ok(polled.map(|polled| polled.revents != 0))
}

/// Buffers of `recvmmsg`.
pub(super) struct Inbound {
    bytes: Vec<u8>,
    addresses: Vec<sockaddr_storage>,
    controls: Vec<Control>,
    iovecs: Vec<iovec>,
    messages: Vec<mmsghdr>,
    received: usize,
}

// SAFETY: the raw pointers in `iovecs` and `messages` point into vectors of the same struct and are written anew before
// each system call.
unsafe impl Send for Inbound {}

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH * MESSAGE_BYTES],
            addresses: vec![empty_address(); BATCH],
            controls: vec![Control([0; 128]); BATCH],
            iovecs: vec![iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH],
            messages: vec![empty_message(); BATCH],
            received: 0,
        }
    }

    /// Receives what is there, without waiting.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.received = 0;
        let buffers = self.bytes.chunks_exact_mut(MESSAGE_BYTES);
        let parts = self.addresses.iter_mut().zip(&mut self.controls).zip(&mut self.iovecs);
        for ((message, buffer), ((address, control), iovec)) in
            self.messages.iter_mut().zip(buffers).zip(parts)
        {
            iovec.iov_base = buffer.as_mut_ptr().cast();
            iovec.iov_len = MESSAGE_BYTES;
            let header = &mut message.msg_hdr;
            header.msg_name = (&raw mut *address).cast();
            header.msg_namelen = len_of::<sockaddr_storage>();
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = size_of::<Control>();
            header.msg_flags = 0;
            message.msg_len = 0;
        }
        // SAFETY: each of the BATCH messages points at an address, a control buffer and an iovec of its own, and each
        // iovec at its own MESSAGE_BYTES of `bytes`; all live and are not touched until the call returns.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if let Ok(received) = usize::try_from(result) {
            self.received = received;
        } else {
            let error = io::Error::last_os_error();
            let passing = [libc::EAGAIN, libc::EINTR, libc::ECONNREFUSED];
            if !error.raw_os_error().is_some_and(|code| passing.contains(&code)) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Hands over each message: its path, how long each of its datagrams but the last is, and its bytes.
    pub(super) fn for_each(&mut self, mut handle: impl FnMut(Path, usize, &mut [u8])) {
        let buffers = self.bytes.chunks_exact_mut(MESSAGE_BYTES);
        let received = self.messages.iter().zip(&self.addresses).zip(buffers).take(self.received);
        for ((message, address), buffer) in received {
            let len = usize::try_from(message.msg_len).unwrap_or(0);
            let (Some(remote), Some(bytes)) = (read_address(address), buffer.get_mut(..len)) else {
                continue;
            };
            // What was cut off by a buffer of the largest size is no datagram of ours.
            if len == 0 || message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                continue;
            }
            let mut path = Path::to(remote);
            let mut segment = len;
            read_controls(&message.msg_hdr, &mut path.local, &mut segment);
            handle(path, segment, bytes);
        }
    }
}

/// The control messages of a received message: the size of its datagrams, and to which address they were sent.
fn read_controls(header: &libc::msghdr, local: &mut IpAddr, segment: &mut usize) {
    // SAFETY: the kernel has filled in the control buffer that `header` points at and its length; the CMSG functions
    // stay inside of it. The data of each kind of message has the type read here, without a claim to alignment.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(current) = control.as_ref() {
            let data = libc::CMSG_DATA(control);
            match (current.cmsg_level, current.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = usize::try_from(data.cast::<c_int>().read_unaligned()).unwrap_or(0);
                    if size > 0 {
                        *segment = size;
                    }
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    *local = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into();
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    *local = IpAddr::from(info.ipi6_addr.s6_addr).to_canonical();
                }
                _ => {}
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
}

/// Appends one control message to those that `header` points at.
///
/// # Safety
///
/// `header.msg_control` points at a [`Control`] that nobody else uses, of which `header.msg_controllen` bytes are filled
/// with whole control messages, and `data` fits into the rest with its header.
unsafe fn push_control<T>(header: &mut libc::msghdr, level: c_int, kind: c_int, data: T) {
    let space = unsafe { libc::CMSG_SPACE(size_of::<T>() as u32) } as usize;
    let at = header.msg_controllen;
    debug_assert!(at + space <= size_of::<Control>());
    header.msg_controllen = at + space;
    // SAFETY: by the caller's promise the message lies inside the control buffer; CMSG_SPACE keeps it aligned.
    #[allow(
        clippy::cast_ptr_alignment,
        reason = "Control is aligned to 8, and so is every multiple of CMSG_SPACE"
    )]
    unsafe {
        let control = header.msg_control.cast::<u8>().add(at).cast::<libc::cmsghdr>();
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as usize;
        libc::CMSG_DATA(control).cast::<T>().write_unaligned(data);
    }
}

/// Buffers of `sendmmsg`.
pub(super) struct Outbound {
    is_ipv6: bool,
    /// Cleared for good when the system cannot segment.
    segments: usize,
    addresses: Vec<sockaddr_storage>,
    controls: Vec<Control>,
    iovecs: Vec<iovec>,
    messages: Vec<mmsghdr>,
}

// SAFETY: as for Inbound.
unsafe impl Send for Outbound {}

impl Outbound {
    pub(super) fn new(is_ipv6: bool) -> Self {
        Self {
            is_ipv6,
            segments: MAX_SEGMENTS,
            addresses: vec![empty_address(); BATCH],
            controls: vec![Control([0; 128]); BATCH],
            iovecs: vec![iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH],
            messages: vec![empty_message(); BATCH],
        }
    }

    /// Cuts runs after so many segments.
    pub(super) fn limit_segments(&mut self, segments: usize) {
        self.segments = segments.clamp(1, self.segments);
    }

    /// Sends everything in the slab that goes through the socket.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, egress: &Egress) {
        let runs = egress.runs(self.segments, MAX_RUN_BYTES);
        let mut runs = runs.filter(|run| run.path.carrier == Carrier::Socket).peekable();
        let mut batch = [None; BATCH];
        while runs.peek().is_some() {
            let mut count = 0;
            for place in &mut batch {
                *place = runs.next();
                count += usize::from(place.is_some());
            }
            self.send_batch(socket, batch.get(..count).unwrap_or_default());
        }
    }

    fn send_batch(&mut self, socket: BorrowedFd<'_>, mut runs: &[Option<Run<'_>>]) {
        while !runs.is_empty() {
            let count = self.prepare(runs);
            // SAFETY: the first `count` messages point at an address, an iovec and, where there is one, a control buffer
            // of their own, and each iovec at bytes of the slab borrowed by `runs`, which the kernel only reads.
            let result = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), self.messages.as_mut_ptr(), count as libc::c_uint, 0)
            };
            let sent = if let Ok(sent) = usize::try_from(result) {
                sent
            } else {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EINTR) => 0,
                    // A device without checksum offload cannot segment (EIO), nor an old kernel (EINVAL).
                    Some(libc::EIO | libc::EINVAL) if self.segments > 1 => {
                        tracing::info!("the system cannot segment datagrams; they go out one by one");
                        self.segments = 1;
                        self.send_singly(socket, runs);
                        return;
                    }
                    // The first message is at fault: its destination cannot be reached. The others can.
                    _ => 1,
                }
            };
            runs = runs.get(sent..).unwrap_or_default();
        }
    }

    fn send_singly(&mut self, socket: BorrowedFd<'_>, runs: &[Option<Run<'_>>]) {
        for run in runs.iter().flatten() {
            for bytes in run.bytes.chunks(run.segment.max(1)) {
                self.send_batch(socket, &[Some(Run { bytes, segment: bytes.len(), ..*run })]);
            }
        }
    }

    /// Writes the headers of the first runs and returns how many.
    fn prepare(&mut self, runs: &[Option<Run<'_>>]) -> usize {
        let parts = self.addresses.iter_mut().zip(&mut self.controls).zip(&mut self.iovecs);
        let mut count = 0;
        for ((message, run), ((address, control), iovec)) in
            self.messages.iter_mut().zip(runs.iter().flatten()).zip(parts)
        {
            iovec.iov_base = run.bytes.as_ptr().cast_mut().cast();
            iovec.iov_len = run.bytes.len();
            let header = &mut message.msg_hdr;
            header.msg_namelen = write_address(address, run.path.remote, self.is_ipv6);
            header.msg_name = (&raw mut *address).cast();
            header.msg_iov = iovec;
            header.msg_iovlen = 1;
            header.msg_flags = 0;
            header.msg_controllen = 0;
            header.msg_control = control.0.as_mut_ptr().cast();
            if run.bytes.len() > run.segment {
                let segment = u16::try_from(run.segment).unwrap_or(u16::MAX);
                // SAFETY: the control buffer belongs to this message and is empty; 24 of its 128 bytes are used.
                unsafe { push_control(header, libc::SOL_UDP, libc::UDP_SEGMENT, segment) };
            }
            // SAFETY: of the 128 bytes of this message's control buffer 24 are used at most, and 40 are needed.
            unsafe { push_source(header, run.path.local, self.is_ipv6) };
            if header.msg_controllen == 0 {
                header.msg_control = std::ptr::null_mut();
            }
            count += 1;
        }
        count
    }
}

/// Says from which of our addresses a message goes, unless the system may choose.
///
/// # Safety
///
/// As for [`push_control`], with room for 40 bytes.
unsafe fn push_source(header: &mut libc::msghdr, local: IpAddr, is_ipv6: bool) {
    if local.is_unspecified() {
        return;
    }
    let as_v6 = match local {
        IpAddr::V4(v4) if !is_ipv6 => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(v4).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            // SAFETY: the caller's promise; CMSG_SPACE of this is 32.
            unsafe { push_control(header, libc::IPPROTO_IP, libc::IP_PKTINFO, info) };
            return;
        }
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: as_v6.octets() }, ipi6_ifindex: 0 };
    // SAFETY: the caller's promise; CMSG_SPACE of this is 40.
    unsafe { push_control(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info) };
}

fn empty_message() -> mmsghdr {
    // SAFETY: a message header of zeroes is one without name, buffers and control.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn empty_address() -> sockaddr_storage {
    // SAFETY: an address of zeroes is one of the family AF_UNSPEC.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn len_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// The address without the mapping of IPv4 into IPv6.
fn read_address(storage: &sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in, which it is large and aligned enough for.
            let address = unsafe { &*(&raw const *storage).cast::<sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage holds a sockaddr_in6, which it is large and aligned enough for.
            let address = unsafe { &*(&raw const *storage).cast::<sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(ip) => SocketAddrV4::new(ip, port).into(),
                None => SocketAddrV6::new(ip, port, 0, address.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}

/// Writes an address as a socket of this family wants it and returns its length.
fn write_address(storage: &mut sockaddr_storage, address: SocketAddr, is_ipv6: bool) -> socklen_t {
    let as_v6 = match address {
        SocketAddr::V4(v4) if !is_ipv6 => {
            // SAFETY: sockaddr_storage is large and aligned enough for every address family.
            let target = unsafe { &mut *(&raw mut *storage).cast::<sockaddr_in>() };
            target.sin_family = libc::AF_INET as libc::sa_family_t;
            target.sin_port = v4.port().to_be();
            target.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            return len_of::<sockaddr_in>();
        }
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
        SocketAddr::V6(v6) => v6,
    };
    // SAFETY: sockaddr_storage is large and aligned enough for every address family.
    let target = unsafe { &mut *(&raw mut *storage).cast::<sockaddr_in6>() };
    target.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    target.sin6_port = as_v6.port().to_be();
    target.sin6_flowinfo = 0;
    target.sin6_addr.s6_addr = as_v6.ip().octets();
    target.sin6_scope_id = as_v6.scope_id();
    len_of::<sockaddr_in6>()
}
