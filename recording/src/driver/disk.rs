//! Files of recordings, and how much room is left for them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::container::Container;
use crate::container::measure::measure;

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
    /// A write went wrong: what came of it is not known, and nothing may follow.
    broken: bool,
}

impl MediaFile {
    /// Makes the file; one of this name must not be there.
    pub(super) fn create(path: &Path, head: &[u8], fsync: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let mut media = Self { file, bytes: 0, fsync, broken: false };
        media.append(head)?;
        Ok(media)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.broken = true;
        self.file.write_all(bytes)?;
        self.sync()?;
        self.bytes += bytes.len() as u64;
        self.broken = false;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.fsync { self.file.sync_data() } else { Ok(()) }
    }

    /// Writes over the beginning.
    pub(super) fn rewrite_head(&mut self, head: &[u8]) -> io::Result<()> {
        self.file.write_all_at(head, 0)?;
        self.sync()
    }

    /// Cuts off what was half written when the disk was full, and says how long the rest is.
    pub(super) fn drop_torn_end(&mut self, container: Container) -> io::Result<Duration> {
        self.file.set_len(self.bytes)?;
        Ok(measure(container, &mut self.file)?.duration)
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
