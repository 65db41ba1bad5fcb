//! Files of recordings, and how much room is left for them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Below this much free space nothing more is recorded, so that the rest of the machine goes on.
const RESERVE: u64 = 256 << 20;
/// On small disks the reserve is this part of the whole.
const RESERVE_PART: u64 = 20;

/// A file that grows, and whose head is written anew.
#[derive(Debug)]
pub(super) struct MediaFile {
    file: File,
    pub(super) bytes: u64,
    fsync: bool,
}

impl MediaFile {
    /// Makes the file; one of this name must not be there.
    pub(super) fn create(path: &Path, head: &[u8], fsync: bool) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut media = Self { file, bytes: 0, fsync };
        media.append(head)?;
        Ok(media)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        if self.fsync { self.file.sync_data() } else { Ok(()) }
    }

    /// Writes over the beginning.
    pub(super) fn rewrite_head(&mut self, head: &[u8]) -> io::Result<()> {
        self.file.write_all_at(head, 0)?;
        if self.fsync { self.file.sync_data() } else { Ok(()) }
    }

    /// Cuts off what was half written when the disk was full.
    pub(super) fn drop_torn_end(&mut self) {
        if let Err(error) = self.file.set_len(self.bytes) {
            tracing::warn!(%error, "a recording ends in half a fragment");
        }
    }
}

/// Whether the disk with this folder is nearly full.
pub(super) fn is_nearly_full(folder: &Path) -> io::Result<bool> {
    let stat = rustix::fs::statvfs(folder)?;
    let reserve = RESERVE.min(stat.f_blocks.saturating_mul(stat.f_frsize) / RESERVE_PART);
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize) < reserve)
}

/// Whether files can be made in the folder.
pub(super) fn check_writable(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}
