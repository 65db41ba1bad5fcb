//! Ports for programs that have to be told one before they listen.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel gives to clients: one of those may belong to somebody's connection a moment later.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port of loopback on which nobody listens. Each call gives another one; processes begin at different ones.
pub fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id().wrapping_mul(61);
    loop {
        let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        let offset = begin.wrapping_add(tried) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
