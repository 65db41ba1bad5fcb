//! `visavis recordings finalize`.

use std::io::{self, Write};

use anyhow::{Context as _, bail};
use recording::finalise;
use recording::index::{EntryState, Index};
use signaling_core::{RoomId, SystemEntropy};

use super::{ffmpeg, folder};
use crate::config::Settings;
use crate::data_dir::DataDir;

/// Options of the command.
#[derive(Clone, Debug)]
pub(crate) struct Finalize {
    /// Also compose one picture of everybody.
    pub(crate) composite: bool,
    /// Only this room.
    pub(crate) room: Option<RoomId>,
}

/// Finalises the recordings, and prints the path of each new file.
pub(crate) fn finalize(settings: &Settings, what: &Finalize) -> anyhow::Result<()> {
    let folder = folder(settings, &DataDir::unmade(&settings.data_dir));
    anyhow::ensure!(folder.is_dir(), "there are no recordings in {}: look at --data-dir", folder.display());
    let index =
        Index::open(&folder).with_context(|| format!("cannot use the recordings in {}", folder.display()))?;
    recording::driver::recover(&index);
    let ffmpeg = ffmpeg(settings);
    ffmpeg.check()?;
    let mut out = io::stdout().lock();
    let mut failed = 0;
    let wanted = |room: &RoomId| what.room.as_ref().is_none_or(|wanted| wanted == room);
    let ready: Vec<_> = index
        .all()
        .into_iter()
        .filter(|entry| entry.state != EntryState::Failed && wanted(&entry.room))
        .collect();
    let elsewhere = ready.iter().filter(|entry| !entry.local).count();
    if elsewhere > 0 {
        tracing::warn!(recordings = elsewhere, "what is in object storage alone is left out");
    }
    for entry in ready.iter().filter(|entry| !entry.finalised && entry.local) {
        match finalise::finalise(&index, &ffmpeg, entry) {
            // The work is done even if standard output cannot be written.
            Ok(done) => drop(writeln!(out, "{}", index.path(&done).display())),
            Err(error) => {
                tracing::error!(recording = %entry.recording, %error, "a recording stays as it was");
                failed += 1;
            }
        }
    }
    if what.composite {
        let mut lives: Vec<_> = ready.iter().map(|entry| (entry.room.clone(), entry.life)).collect();
        lives.sort_by_key(|(room, life)| (room.to_string(), *life));
        lives.dedup();
        for (room, life) in lives {
            match finalise::composite(&index, &ffmpeg, &room, life, &mut SystemEntropy) {
                Ok(done) => drop(writeln!(out, "{}", index.path(&done).display())),
                Err(error) => {
                    tracing::error!(%room, %error, "there is no picture of everybody");
                    failed += 1;
                }
            }
        }
    }
    if failed > 0 {
        bail!("{failed} could not be finalised");
    }
    Ok(())
}
