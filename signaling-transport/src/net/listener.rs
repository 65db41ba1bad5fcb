//! The listening socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Why the listening socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The requested address.
    pub address: SocketAddr,
    /// The system's error; [`io::ErrorKind::AddrInUse`] if another program has the port.
    #[source]
    pub source: io::Error,
}

/// Connections that the kernel queues until they are accepted.
const BACKLOG: i32 = 1_024;
/// Bytes per connection that the kernel buffers beyond those in flight. Without a limit, a client that does not read
/// fills megabytes.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

/// Opens the socket. `[::]` takes IPv4 as well, and falls back to `0.0.0.0` on a machine without IPv6.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let opened = open(address).or_else(|error| match address {
        SocketAddr::V6(v6) if v6.ip().is_unspecified() && lacks_ipv6(&error) => {
            open((Ipv4Addr::UNSPECIFIED, v6.port()).into())
        }
        _ => Err(error),
    });
    opened.and_then(TcpListener::from_std).map_err(|source| BindError { address, source })
}

fn open(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    // A restart must not wait until the kernel forgets the last minute's connections.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit this.
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT];
    error.raw_os_error().is_some_and(|code| missing.iter().any(|errno| errno.raw_os_error() == code))
}

/// Accepts connections, and pauses when the machine lacks the resources to accept more.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    pause: Duration,
}

/// The shortest pause after a failed accept; it doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, pause: SHORTEST_PAUSE }
    }

    /// The next connection. Cancel-safe.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.pause = SHORTEST_PAUSE;
                    return accepted;
                }
                // The client gave up while it was queued.
                Err(error) if is_the_clients_doing(&error) => {}
                // No file descriptors or memory are left: accepting again at once would spin.
                Err(error) => {
                    tracing::warn!(%error, pause_ms = self.pause.as_millis(), "accept failed");
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

fn is_the_clients_doing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_told_with_its_address() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        assert_eq!(error.address, address);
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_holds_little_for_a_client_that_does_not_read() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        client.set_recv_buffer_size(4 * 1024).unwrap();
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut taken = 0;
        // The buffer is full once nothing is taken for longer than a window takes to open.
        while tokio::time::timeout(Duration::from_millis(200), stream.writable()).await.is_ok() {
            match stream.try_write(&[0; 1024]) {
                Ok(bytes) => taken += bytes,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert!((64 * 1024..128 * 1024).contains(&taken), "{taken} bytes");
    }

    #[tokio::test]
    async fn the_unspecified_ipv6_address_takes_ipv4_too() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        listener.accept().await.unwrap();
    }
}
