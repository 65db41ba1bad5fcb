//! A proxy of TCP between a client and a server, which a test can cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Told of each cut.
    cuts: watch::Sender<()>,
}

struct State {
    server: SocketAddr,
    /// The connections to be closed at once.
    refused: usize,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { server, refused: 0 }));
        let (cuts, cut) = watch::channel(());
        tokio::spawn(accept(listener, Arc::clone(&state), cut));
        Self { addr, state, cuts }
    }

    /// Closes every connection, and the next `refused` ones at once; later ones lead to `server`.
    pub(crate) fn cut(&self, server: SocketAddr, refused: usize) {
        *self.state.lock().unwrap() = State { server, refused };
        self.cuts.send_replace(());
    }

    /// The connections that are still to be closed at once.
    pub(crate) fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, cut: watch::Receiver<()>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let server = {
            let mut state = state.lock().unwrap();
            if state.refused > 0 {
                state.refused -= 1;
                continue;
            }
            state.server
        };
        let mut cut = cut.clone();
        cut.mark_unchanged();
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(server).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = cut.changed() => {}
            }
        });
    }
}
