//! Watches a broadcast and saves its video.
//!
//! `cargo run -p examples --bin watch-and-save -- http://127.0.0.1:8080 lesson FILE.ivf 300` saves 300 pictures; without a
//! number, it saves until the room ends. It may be started before the broadcast.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the console is the point")]

use anyhow::Context as _;
use client::{Error, Player, Saver, Server};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("say URL ROOM FILE [PICTURES]");
    let (server, room, path) = (Server::new(&next()?)?, next()?, next()?);
    let wanted: usize = next().map_or(Ok(usize::MAX), |pictures| pictures.parse())?;

    let mut player = Player::watch(&server, &room, None, None).await?;
    println!("watching");
    let first = loop {
        let received = player.next().await?;
        if received.codec.is_video() {
            break received;
        }
    };
    let mut saver = Saver::create(&path, first.codec)?;
    saver.write(&first)?;
    while saver.frames() < wanted {
        match player.next().await {
            Ok(received) => saver.write(&received)?,
            // The room has ended.
            Err(Error::Media(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let pictures = saver.frames();
    saver.finish()?;
    player.stop().await?;
    println!("{pictures} pictures saved");
    Ok(())
}
