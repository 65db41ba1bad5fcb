//! A file of JSON lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;

/// A file to which whole lines are appended.
#[derive(Debug)]
pub(crate) struct LineFile {
    file: File,
    length: u64,
    /// The file ends in an incomplete line.
    is_torn: bool,
}

impl LineFile {
    /// Opens the file, or makes it, for its owner alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Self { file, length, is_torn: last != [b'\n'] })
    }

    /// Appends the whole line, or nothing.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let written = if self.is_torn {
            self.file.write_all(&[b"\n", line].concat())
        } else {
            self.file.write_all(line)
        };
        if written.is_ok() {
            self.length += line.len() as u64 + u64::from(self.is_torn);
            self.is_torn = false;
        } else if self.file.set_len(self.length).is_err() {
            self.is_torn = true;
        }
        written
    }

    /// Whether the file still has a name: writes to a deleted or replaced file are lost.
    pub(crate) fn has_name(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() > 0)
    }

    /// Whether the file is still the one that was opened: writes to a deleted or replaced file are lost.
    pub(crate) fn check(&self, path: &Path) -> io::Result<()> {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        if identity(fs::metadata(path)?) == identity(self.file.metadata()?) {
            return Ok(());
        }
        Err(io::Error::other("the file was replaced by another"))
    }
}

/// A value as a line.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_after_a_part_of_one_is_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, "{\"saved\": {\"room").unwrap();
        LineFile::open(&path).unwrap().append(&json_line(&"whole").unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"saved\": {\"room\n\"whole\"\n");
    }
}
