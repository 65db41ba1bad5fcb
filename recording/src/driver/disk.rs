//! The media files of recordings, and the free space of the disk.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::captions::HEAD;
use crate::container::Container;
use crate::container::measure::measure;

/// The free space below which nothing more is recorded, so that the rest of the machine keeps working.
const RESERVE: u64 = 256 << 20;
/// The divisor of the disk's size that limits the reserve on small disks.
const RESERVE_PART: u64 = 20;

/// The storage of a media file.
pub(super) trait Storage: Read + Seek + Write {
    /// Overwrites the bytes at `offset`.
    fn write_over(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Syncs the written data to disk.
    fn sync(&self) -> io::Result<()>;
    /// Truncates the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

impl Storage for File {
    fn write_over(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// A file to which fragments are appended and whose head is rewritten.
#[derive(Debug)]
pub(super) struct MediaFile<S = File> {
    file: S,
    pub(super) bytes: u64,
    fsync: bool,
    /// Whether a write has failed: the end of the file is then undefined, and nothing may follow it.
    broken: bool,
}

impl MediaFile {
    /// Creates the file, which must not exist.
    pub(super) fn create(path: &Path, head: &[u8], fsync: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        // One without a head plays nowhere, and nothing is known of it.
        Self::begin(file, head, fsync).inspect_err(|_| drop(fs::remove_file(path)))
    }

    /// Checks that the file is still at this path: data written to a deleted or replaced file is lost.
    pub(super) fn check_path(&self, path: &Path) -> io::Result<()> {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        if identity(fs::metadata(path)?) == identity(self.file.metadata()?) {
            return Ok(());
        }
        Err(io::Error::other("it was replaced by another file"))
    }
}

impl<S: Storage> MediaFile<S> {
    fn begin(file: S, head: &[u8], fsync: bool) -> io::Result<Self> {
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
        if self.fsync { self.file.sync() } else { Ok(()) }
    }

    /// Overwrites the beginning of the file. After a failed append this fails too: the head would describe missing data.
    pub(super) fn rewrite_head(&mut self, head: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.file.write_over(head, 0)?;
        self.sync()
    }

    /// Removes a partly written fragment from the end of the file and returns the duration of the rest.
    pub(super) fn drop_torn_end(&mut self, container: Container) -> io::Result<Duration> {
        self.file.truncate(self.bytes)?;
        Ok(measure(container, &mut self.file)?.duration)
    }
}

/// Whether the disk of this folder is nearly full.
pub(super) fn is_nearly_full(folder: &Path) -> io::Result<bool> {
    let stat = rustix::fs::statvfs(folder)?;
    let reserve = RESERVE.min(stat.f_blocks.saturating_mul(stat.f_frsize) / RESERVE_PART);
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize) < reserve)
}

/// Appends a cue to a file of captions, which is created if it does not exist.
pub(super) fn append_captions(path: &Path, cue: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() == 0 {
        file.write_all(HEAD.as_bytes())?;
    }
    file.write_all(cue.as_bytes())
}

/// Checks that files can be created in the folder.
pub(super) fn check_writable(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{Cursor, SeekFrom};

    use super::*;

    /// A disk that can lose power: data that was not synced is lost.
    #[derive(Debug, Default)]
    struct Platter {
        written: RefCell<Cursor<Vec<u8>>>,
        kept: RefCell<Vec<u8>>,
        /// The capacity in bytes, if it is limited.
        capacity: Option<usize>,
    }

    impl Read for Platter {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.written.get_mut().read(into)
        }
    }

    impl Seek for Platter {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.written.get_mut().seek(to)
        }
    }

    impl Write for Platter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = self.written.get_mut();
            let room = self.capacity.map_or(bytes.len(), |capacity| capacity - written.get_ref().len());
            match bytes.get(..room.min(bytes.len())) {
                Some([]) | None => Err(io::ErrorKind::StorageFull.into()),
                Some(fitting) => written.write(fitting),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Storage for Platter {
        fn write_over(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let offset = usize::try_from(offset).unwrap();
            self.written.borrow_mut().get_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.kept.replace(self.written.borrow().get_ref().clone());
            Ok(())
        }

        fn truncate(&self, len: u64) -> io::Result<()> {
            self.written.borrow_mut().get_mut().truncate(usize::try_from(len).unwrap());
            Ok(())
        }
    }

    #[test]
    fn with_fsync_nothing_that_was_written_is_lost_with_the_power_and_without_it_nobody_waits() {
        for fsync in [true, false] {
            let mut file = MediaFile::begin(Platter::default(), b"head", fsync).unwrap();
            let kept =
                |file: &MediaFile<Platter>| String::from_utf8(file.file.kept.borrow().clone()).unwrap();
            assert_eq!(kept(&file), if fsync { "head" } else { "" });
            file.append(b" one").unwrap();
            assert_eq!(kept(&file), if fsync { "head one" } else { "" });
            file.rewrite_head(b"HEAD").unwrap();
            assert_eq!(kept(&file), if fsync { "HEAD one" } else { "" });
            assert_eq!(file.bytes, 8);
        }
    }

    #[test]
    fn after_a_failed_write_the_head_describes_only_what_is_there() {
        let mut file = MediaFile::begin(Platter::default(), b"head", false).unwrap();
        file.append(b" one").unwrap();
        file.file.capacity = Some(10);
        assert_eq!(file.append(b" two").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(file.rewrite_head(b"HEAD").is_err(), "this head counts the fragment that is missing");
        assert!(file.append(b" three").is_err());
        file.drop_torn_end(Container::Mp4).unwrap();
        assert_eq!(file.file.written.borrow().get_ref(), b"head one");
    }
}
