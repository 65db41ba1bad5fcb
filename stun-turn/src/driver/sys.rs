//! The socket calls that the standard library lacks. All unsafe code of the crate is here.

#![allow(unsafe_code, reason = "recvmmsg, sendmmsg, epoll and their like have no safe form in std")]

use std::ffi::c_int;
use std::io;
use std::mem::{self, MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

/// Messages that one call receives at most.
pub(super) const RECEIVE_BATCH: usize = 16;
const RECEIVE_BATCH_COUNT: libc::c_uint = 16;
const _: () = assert!(RECEIVE_BATCH_COUNT as usize == RECEIVE_BATCH);
/// A datagram, or what GRO made of many, is never longer.
const RECEIVE_BUFFER: usize = 65_536;
/// Distance of two buffers. Not a power of two, or all of them would fall into the same sets of the cache.
const RECEIVE_STRIDE: usize = RECEIVE_BUFFER + 64 * 17;
/// Messages that one call sends at most.
pub(super) const SEND_BATCH: usize = 64;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set_option<T>(fd: RawFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = socklen(size_of::<T>());
    // SAFETY: `value` is valid for reads of `length` bytes for the time of the call.
    check(unsafe { libc::setsockopt(fd, level, name, ptr::from_ref(value).cast(), length) }).map(drop)
}

fn socklen(length: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(length).unwrap_or(libc::socklen_t::MAX)
}

/// Lets the kernel hand over several datagrams of one sender as one.
pub fn enable_gro(socket: &impl AsRawFd) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_GRO, &1_i32)
}

/// Whether IPv4 datagrams carry the don't-fragment bit.
pub(super) fn set_dont_fragment(socket: &impl AsRawFd, is_set: bool) -> io::Result<()> {
    let mode = if is_set { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
    set_option(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &mode)
}

/// Asks for the address that each datagram was sent to.
pub(super) fn enable_packet_info(socket: &impl AsRawFd, is_ipv4: bool) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    if is_ipv4 {
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, &1_i32)
    } else {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1_i32)
    }
}

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What a socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Something to read, or the end.
    pub read: bool,
    /// Room to write.
    pub write: bool,
    /// Report a change once instead of a state for as long as it lasts.
    pub edge: bool,
}

impl Interest {
    fn bits(self) -> u32 {
        let mut bits = 0;
        if self.read {
            bits |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if self.write {
            bits |= libc::EPOLLOUT;
        }
        if self.edge {
            bits |= libc::EPOLLET;
        }
        bits.cast_unsigned()
    }
}

/// Room for events.
#[derive(Default)]
pub struct Events {
    buffer: Vec<libc::epoll_event>,
    count: usize,
}

impl Events {
    /// Room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: vec![libc::epoll_event { events: 0, u64: 0 }; capacity], count: 0 }
    }

    /// The token of the event at `index`.
    pub fn token(&self, index: usize) -> Option<u64> {
        (index < self.count).then(|| self.buffer.get(index).map(|event| event.u64)).flatten()
    }
}

impl Epoll {
    /// Makes one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer; the descriptor it gives is owned by nobody else.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `socket` under `token`.
    pub fn add(&self, socket: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), token, interest)
    }

    /// Watches `socket` for something else.
    pub fn modify(&self, socket: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), token, interest)
    }

    fn control(&self, operation: c_int, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: `event` lives for the time of the call, which only reads it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) }).map(drop)
    }

    /// Waits until something happens or `timeout` (rounded up to milliseconds) is over; `None` waits for ever.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let millis = timeout
            .map_or(-1, |timeout| c_int::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX));
        let capacity = c_int::try_from(events.buffer.len()).unwrap_or(c_int::MAX);
        // SAFETY: the buffer has room for `capacity` events.
        let result =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.buffer.as_mut_ptr(), capacity, millis) };
        events.count = match check(result) {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(events.count)
    }
}

/// Wakes an epoll from another thread.
#[derive(Debug)]
pub(super) struct Wake(OwnedFd);

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer; the descriptor it gives is owned by nobody else.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(super) fn wake(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes are read from `one`. It fails only when the counter is full, and then the other side is awake.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    pub(super) fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes are written to `count`. It fails when there was no wake-up, which is as good.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

const EMPTY_CONTROL: Control = Control([0; 64]);

/// Buffers for a batch of datagrams.
pub struct Receiver {
    slab: Box<[u8]>,
    names: Box<[libc::sockaddr_in6; RECEIVE_BATCH]>,
    controls: Box<[Control; RECEIVE_BATCH]>,
    /// Points into the boxes above. Never read, but the messages point to it.
    _vectors: Box<[libc::iovec; RECEIVE_BATCH]>,
    messages: Box<[libc::mmsghdr; RECEIVE_BATCH]>,
    count: usize,
}

// SAFETY: the pointers in `messages` and `_vectors` lead to memory that the boxes of the same struct own.
unsafe impl Send for Receiver {}

/// One received buffer: a datagram, or several of the same length (the last may be shorter) from one sender.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// What was received.
    pub bytes: &'a [u8],
    /// Length of each datagram in bytes.
    pub segment: usize,
    /// The sender.
    pub from: SocketAddr,
    /// The address it was sent to, where the socket was asked for it.
    pub to: Option<IpAddr>,
}

impl<'a> Received<'a> {
    /// The datagrams, one by one. An empty one is one, too.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.segment.max(1)))
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Makes the buffers.
    pub fn new() -> Self {
        // SAFETY: all of these are plain C structs for which zeros are a valid value.
        let mut names: Box<[libc::sockaddr_in6; RECEIVE_BATCH]> = unsafe { Box::new(mem::zeroed()) };
        // SAFETY: as above.
        let mut vectors: Box<[libc::iovec; RECEIVE_BATCH]> = unsafe { Box::new(mem::zeroed()) };
        // SAFETY: as above.
        let mut messages: Box<[libc::mmsghdr; RECEIVE_BATCH]> = unsafe { Box::new(mem::zeroed()) };
        let mut controls = Box::new([EMPTY_CONTROL; RECEIVE_BATCH]);
        let mut slab = vec![0; RECEIVE_STRIDE * RECEIVE_BATCH].into_boxed_slice();
        let parts = messages
            .iter_mut()
            .zip(vectors.iter_mut())
            .zip(names.iter_mut().zip(controls.iter_mut()))
            .zip(slab.chunks_exact_mut(RECEIVE_STRIDE));
        for (((message, vector), (name, control)), buffer) in parts {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = RECEIVE_BUFFER;
            let header = &mut message.msg_hdr;
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_namelen = socklen(size_of::<libc::sockaddr_in6>());
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = control.0.len();
        }
        Self { slab, names, controls, _vectors: vectors, messages, count: 0 }
    }

    /// Receives what is there, at most 16 messages, without waiting. Returns how many.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        for message in self.messages.iter_mut().take(self.count) {
            message.msg_hdr.msg_namelen = socklen(size_of::<libc::sockaddr_in6>());
            message.msg_hdr.msg_controllen = size_of::<Control>();
        }
        self.count = 0;
        // SAFETY: every message points to a name, a vector, a buffer and a control buffer of the lengths it says, all owned
        // by `self`, which is borrowed mutably for the call.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                RECEIVE_BATCH_COUNT,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.count = usize::try_from(check(result)?).unwrap_or(0);
        Ok(self.count)
    }

    /// The message at `index` of the last batch.
    pub fn message(&self, index: usize) -> Option<Received<'_>> {
        let message = self.messages.get(..self.count)?.get(index)?;
        let start = index * RECEIVE_STRIDE;
        let length = usize::try_from(message.msg_len).ok()?.min(RECEIVE_BUFFER);
        let bytes = self.slab.get(start..start + length)?;
        let from = read_address(self.names.get(index)?)?;
        let control = self.controls.get(index)?;
        let mut received = Received { bytes, segment: length.max(1), from, to: None };
        let length = message.msg_hdr.msg_controllen.min(size_of::<Control>());
        read_control(control.0.get(..length).unwrap_or_default(), &mut received);
        Some(received)
    }
}

/// Reads the length of GRO's segments and the destination address out of control messages.
fn read_control(mut rest: &[u8], received: &mut Received<'_>) {
    // Parsed by hand: struct cmsghdr is a length of the size of a pointer, and two ints.
    const HEADER: usize = size_of::<libc::cmsghdr>();
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let Some(length) = header.first_chunk::<{ size_of::<usize>() }>().map(|b| usize::from_ne_bytes(*b))
        else {
            return;
        };
        let kind = header.get(size_of::<usize>()..).and_then(|ints| {
            let (level, kind) = ints.split_first_chunk::<4>()?;
            Some((c_int::from_ne_bytes(*level), c_int::from_ne_bytes(*kind.first_chunk::<4>()?)))
        });
        let Some(data) = rest.get(HEADER..length) else { return };
        match kind {
            Some((libc::SOL_UDP, libc::UDP_GRO)) => {
                if let Some(segment) = data.first_chunk::<4>().map(|b| c_int::from_ne_bytes(*b)) {
                    received.segment = usize::try_from(segment).unwrap_or(0).max(1);
                }
            }
            Some((libc::IPPROTO_IP, libc::IP_PKTINFO)) => {
                // struct in_pktinfo: an index, the local address, the destination in the header.
                received.to =
                    data.get(8..).and_then(|b| b.first_chunk::<4>()).map(|b| Ipv4Addr::from(*b).into());
            }
            Some((libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)) => {
                received.to = data.first_chunk::<16>().map(|b| Ipv6Addr::from(*b).into());
            }
            _ => {}
        }
        let Some(next) = rest.get(length.next_multiple_of(size_of::<usize>())..) else { return };
        rest = next;
    }
}

fn read_address(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match c_int::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a sockaddr_in there; it is shorter than a sockaddr_in6 and no more strictly aligned.
            let name: &libc::sockaddr_in = unsafe { &*ptr::from_ref(name).cast() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

/// A socket address in the kernel's form.
#[derive(Clone, Copy)]
pub(super) enum RawAddress {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl RawAddress {
    pub(super) fn new(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::V6(libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }

    fn as_ptr(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::V4(v4) => (ptr::from_ref(v4).cast(), socklen(size_of::<libc::sockaddr_in>())),
            Self::V6(v6) => (ptr::from_ref(v6).cast(), socklen(size_of::<libc::sockaddr_in6>())),
        }
    }
}

/// One message to send: one datagram, or several of `segment` bytes each (the last may be shorter).
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) bytes: &'a [u8],
    /// `None` for a single datagram.
    pub(super) segment: Option<u16>,
    pub(super) to: &'a RawAddress,
    /// The source address, on a socket that is bound to all.
    pub(super) from: Option<IpAddr>,
}

/// Headers for a batch to send.
pub(super) struct Sender {
    vectors: Box<[libc::iovec; SEND_BATCH]>,
    controls: Box<[Control; SEND_BATCH]>,
    messages: Box<[libc::mmsghdr; SEND_BATCH]>,
}

// SAFETY: the pointers in the headers are only followed inside of `send`, which sets them anew from its arguments.
unsafe impl Send for Sender {}

impl Sender {
    pub(super) fn new() -> Self {
        // SAFETY: both are plain C structs for which zeros are a valid value.
        let (vectors, messages) = unsafe { (Box::new(mem::zeroed()), Box::new(mem::zeroed())) };
        Self { vectors, controls: Box::new([EMPTY_CONTROL; SEND_BATCH]), messages }
    }

    /// Sends messages from one socket, at most [`SEND_BATCH`]; gives how many were taken, or the error of the first.
    pub(super) fn send<'a>(
        &mut self,
        socket: RawFd,
        batch: impl Iterator<Item = Outgoing<'a>>,
    ) -> io::Result<usize> {
        let mut count: c_int = 0;
        let slots = self.messages.iter_mut().zip(self.vectors.iter_mut().zip(self.controls.iter_mut()));
        for ((message, (vector, control)), outgoing) in slots.zip(batch) {
            vector.iov_base = outgoing.bytes.as_ptr().cast_mut().cast();
            vector.iov_len = outgoing.bytes.len();
            let (name, length) = outgoing.to.as_ptr();
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

/// The addresses of this machine's interfaces.
pub(super) fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list = MaybeUninit::<*mut libc::ifaddrs>::uninit();
    // SAFETY: the call writes the head of a list, or fails.
    check(unsafe { libc::getifaddrs(list.as_mut_ptr()) })?;
    // SAFETY: it did not fail.
    let list = unsafe { list.assume_init() };
    let mut addresses = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` is an entry of the list, which is freed only below.
        let entry = unsafe { &*next };
        if !entry.ifa_addr.is_null() {
            // SAFETY: the address of an interface of family AF_INET is a sockaddr_in, of AF_INET6 a sockaddr_in6.
            let address = unsafe {
                match c_int::from((*entry.ifa_addr).sa_family) {
                    libc::AF_INET => {
                        let name = ptr::read_unaligned(entry.ifa_addr.cast::<libc::sockaddr_in>());
                        Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr))))
                    }
                    libc::AF_INET6 => {
                        let name = ptr::read_unaligned(entry.ifa_addr.cast::<libc::sockaddr_in6>());
                        Some(IpAddr::V6(Ipv6Addr::from(name.sin6_addr.s6_addr)))
                    }
                    _ => None,
                }
            };
            addresses.extend(address);
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is not used after this.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}
