//! Two terminals talk to each other over a WebRTC data channel, with no server at all: people carry the offer and the
//! answer by copy and paste.
//!
//! ```text
//! terminal 1: cargo run -p examples --bin console-data-channel -- offer
//! terminal 2: cargo run -p examples --bin console-data-channel -- answer
//! ```
//!
//! Each description is one line of JSON, `{"type": …, "sdp": …}`, just what a browser's `RTCPeerConnection` takes, so the
//! other side may be a browser's console too (docs/console-data-channel.md). An address after the word chooses what to
//! listen on, as in `offer 127.0.0.1:0`; by default it is every interface.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the console is the point")]

use std::io::BufRead;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc::{self, Receiver, Sender};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState,
};

/// What the connection reports, passed on to the main task.
struct Events {
    gathered: Sender<()>,
    failed: Sender<()>,
    channels: Sender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            // Whoever doesn't listen any more has heard it already; so below.
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Failed {
            let _ = self.failed.try_send(());
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.channels.try_send(channel);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    let listen =
        arguments.next().map_or(vec!["0.0.0.0:0".to_owned(), "[::]:0".to_owned()], |address| vec![address]);
    let mut lines = lines();

    let (gathered, mut all_gathered) = mpsc::channel(1);
    let (failed, mut has_failed) = mpsc::channel(1);
    let (channels, mut new_channels) = mpsc::channel(1);
    let events = Arc::new(Events { gathered, failed, channels });
    let builder = PeerConnectionBuilder::new().with_handler(events).with_udp_addrs(listen);
    let connection = Box::pin(builder.build()).await?;

    let channel = match role.as_str() {
        "offer" => {
            let channel = connection.create_data_channel("console", None).await?;
            connection.set_local_description(connection.create_offer(None).await?).await?;
            println!("Give this offer to the other side, in one piece:\n");
            show_description(&connection, &mut all_gathered).await?;
            println!("\nPaste the answer here:");
            take_description(&connection, &mut lines).await?;
            channel
        }
        "answer" => {
            println!("Paste the offer here:");
            take_description(&connection, &mut lines).await?;
            connection.set_local_description(connection.create_answer(None).await?).await?;
            println!("Give this answer to the other side, in one piece:\n");
            show_description(&connection, &mut all_gathered).await?;
            tokio::select! {
                channel = new_channels.recv() => channel.context("the connection ended")?,
                _ = has_failed.recv() => bail!("the two sides found no path to each other"),
            }
        }
        _ => bail!("say `offer` in one terminal and `answer` in the other"),
    };
    talk(channel.as_ref(), &mut lines, &mut has_failed).await?;
    connection.close().await?;
    // The thread that reads the console may be waiting for a line that never comes.
    std::process::exit(0)
}

/// Prints the local description once it has every candidate: nothing can be sent after it.
async fn show_description(
    connection: &impl PeerConnection,
    all_gathered: &mut Receiver<()>,
) -> anyhow::Result<()> {
    all_gathered.recv().await.context("the connection ended")?;
    let description = connection.local_description().await.context("there is no local description")?;
    println!("{}", serde_json::to_string(&description)?);
    Ok(())
}

async fn take_description(
    connection: &impl PeerConnection,
    lines: &mut Receiver<String>,
) -> anyhow::Result<()> {
    let line = lines.recv().await.context("nothing was pasted")?;
    let description =
        serde_json::from_str(&line).context("this is no description; it must be pasted in one line")?;
    connection.set_remote_description(description).await?;
    Ok(())
}

/// Passes lines between the console and the channel until either of them ends.
async fn talk(
    channel: &dyn DataChannel,
    lines: &mut Receiver<String>,
    has_failed: &mut Receiver<()>,
) -> anyhow::Result<()> {
    let mut open = false;
    loop {
        tokio::select! {
            event = channel.poll() => match event {
                Some(DataChannelEvent::OnOpen) => {
                    open = true;
                    println!("\nConnected. Type, and press enter; end with Ctrl-D.");
                }
                Some(DataChannelEvent::OnMessage(message)) => {
                    println!("> {}", String::from_utf8_lossy(&message.data));
                }
                Some(DataChannelEvent::OnClose) | None => {
                    println!("The other side has left.");
                    return Ok(());
                }
                Some(_) => {}
            },
            line = lines.recv(), if open => match line {
                Some(line) => channel.send_text(&line).await?,
                None => return Ok(channel.close().await?),
            },
            _ = has_failed.recv() => bail!("the two sides found no path to each other"),
        }
    }
}

/// The lines of the console that are not empty. Reading it blocks, so a thread does it.
fn lines() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let line = line.trim();
            if !line.is_empty() && sender.blocking_send(line.to_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}
