//! The socket calls that the standard library lacks. All unsafe code of the crate is here.

#![allow(unsafe_code, reason = "recvmmsg, sendmmsg, epoll and their like have no safe form in std")]

mod address;
mod epoll;
mod receive;
mod send;

use std::ffi::c_int;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

pub(super) use address::{RawAddress, interface_addresses};
pub(super) use epoll::Wake;
pub use epoll::{Epoll, Events, Interest};
pub(super) use receive::RECEIVE_BATCH;
pub use receive::{Received, Receiver};
pub(super) use send::{Outgoing, SEND_BATCH, Sender};

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

/// How many descriptors the process may have open.
pub(super) fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes for the time of the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result < 0 { 0 } else { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) }
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

/// Room for the control messages used here, aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

const EMPTY_CONTROL: Control = Control([0; 64]);
