//! Broadcasts media files into a room, as often as wanted.
//!
//! `cargo run -p examples --bin broadcast-file -- http://127.0.0.1:8080 lesson 1 FILM.ivf SOUND.ogg`, then open
//! `http://127.0.0.1:8080/r/lesson?role=viewer`. `ffmpeg -i FILM -an -c:v libvpx FILM.ivf` and
//! `ffmpeg -i FILM -vn -c:a libopus SOUND.ogg` make such files.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the console is the point")]

use anyhow::Context as _;
use client::{Codec, MediaFile, Publisher, Server};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("say URL ROOM TIMES FILE...");
    let (server, room, times) = (Server::new(&next()?)?, next()?, next()?.parse::<usize>()?);
    let paths: Vec<String> = arguments.collect();
    let open = || paths.iter().map(MediaFile::open).collect::<Result<Vec<_>, _>>();

    let codecs: Vec<Codec> = open()?.iter().map(MediaFile::codec).collect();
    let publisher = Publisher::publish(&server, &room, "File", None, &codecs).await?;
    println!("on air");
    let mut sent = 0;
    for _ in 0..times {
        sent += publisher.play(&mut open()?).await?.iter().sum::<usize>();
    }
    publisher.stop().await?;
    println!("{sent} frames sent");
    Ok(())
}
