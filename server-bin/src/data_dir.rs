//! The folder of what outlives the process.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;

use crate::folders::Place;

/// The folder, known to exist.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Secrets that are not on the disk yet, which was full when they were made: by their files' names.
    unkept: Arc<Mutex<BTreeMap<String, Secret>>>,
}

/// Whether an error is one of the disk: full, read-only, or a bound of the operator's. It goes away, and what needs no disk
/// goes on meanwhile.
pub(crate) fn is_of_the_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | ReadOnlyFilesystem | QuotaExceeded | FileTooLarge)
}

/// The file by which a server claims the folder; it says which process that is.
const CLAIM: &str = "in-use";
/// Files with secrets, or with what people have said about themselves.
const SECRETS: [&str; 8] = [
    "session.key",
    "turn.key",
    "self-made-certificate.pem",
    "rooms.jsonl",
    "visavis.db",
    "visavis.db-wal",
    "visavis.db-shm",
    CLAIM,
];

/// A folder that is this server's, as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: File,
}

impl Claim {
    fn new(mut file: File) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // On a full disk the claim holds without its words.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "process {} on {host}", process::id()));
        Self { _file: file }
    }
}

/// The mode of a file or folder that others than its owner can do something with.
fn open_mode(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then_some(mode)
}

/// Says when others can look into a folder.
pub(crate) fn tell_if_open(folder: &Path) {
    if let Some(mode) = open_mode(folder) {
        let mode = format!("{:o}", mode & 0o7777);
        tracing::warn!(folder = %folder.display(), mode, "others on this machine can look into a folder: chmod 700");
    }
}

/// A key of the server's own making.
pub(crate) type Secret = [u8; 32];

/// Why the folder is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("cannot use the data folder {path}; --data-dir names another")]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot keep a secret in {path}")]
    Keep {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not a secret of 32 bytes; take it away to have a new one made")]
    Broken { path: PathBuf },
    #[error("the system gives no random bytes")]
    Random,
    #[error("{path} is used by {by}; end that one, or give this one a folder of its own with --data-dir")]
    InUse { path: PathBuf, by: String },
    #[error("there is no data folder {path}: --data-dir names the one of a server, and --init makes one")]
    Missing { path: PathBuf },
}

impl DataDir {
    /// Makes the folder when it is not there, for its owner alone.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        match made {
            Err(error) if is_of_the_disk(&error) => {
                tracing::error!(path = %path.display(), %error, "the data folder cannot be made: nothing outlives this process");
            }
            made => made.map_err(|source| DataDirError::Make { path: path.to_owned(), source })?,
        }
        Ok(Self { path: path.to_owned(), unkept: Arc::default() })
    }

    /// Where a file of this name lies.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder, which must be there: for commands that look at what a server has made.
    pub(crate) fn existing(path: &Path) -> Result<Self, DataDirError> {
        if !path.is_dir() {
            return Err(DataDirError::Missing { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), unkept: Arc::default() })
    }

    /// The folder, as far as its path goes.
    pub(crate) fn unmade(path: &Path) -> Self {
        Self { path: path.to_owned(), unkept: Arc::default() }
    }

    /// The folder, and what is in it that a running server keeps open. The journal of rooms is not among it: the server
    /// itself puts new files in its place, and looks before each line whether it is still the one that it opened.
    pub(crate) fn places(&self) -> Vec<Place> {
        let names = [CLAIM, "visavis.db"].map(|name| self.file(name));
        // What is not there is nothing that could go.
        std::iter::once(&self.path).chain(&names).filter_map(|path| Place::new(path).ok()).collect()
    }

    /// Whether there is a file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// Keeps other servers out of the folder: what one keeps of rooms, the other does not know of, and whoever starts last takes
    /// the recordings of both in hand. The claim ends with the process, however that ends.
    pub(crate) fn claim(&self) -> Result<Option<Claim>, DataDirError> {
        let path = self.file(CLAIM);
        let opened =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let claimed = opened.and_then(|file| match file.try_lock() {
            Ok(()) => Ok(Ok(file)),
            Err(TryLockError::WouldBlock) => Ok(Err(file)),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match claimed {
            Ok(Ok(file)) => {
                self.clear_leftovers();
                Ok(Some(Claim::new(file)))
            }
            Ok(Err(mut file)) => {
                let mut by = String::new();
                // Whoever holds it says so a moment later, unless its disk is full.
                let _ = file.read_to_string(&mut by);
                let by =
                    if by.trim().is_empty() { "another server".to_owned() } else { by.trim().to_owned() };
                Err(DataDirError::InUse { path: self.path.clone(), by })
            }
            // A full disk, or a file system without locks.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "nothing keeps a second server out of the data folder");
                Ok(None)
            }
        }
    }

    /// Takes away what a process left behind that ended while it wrote.
    fn clear_leftovers(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_leftover = name.to_str().is_some_and(|name| {
                name.starts_with(".tmp") && name.len() == 10 || name.starts_with("self-made-certificate.new-")
            });
            if is_leftover && fs::remove_file(entry.path()).is_ok() {
                tracing::info!(path = %entry.path().display(), "a file that was half made is taken away");
            }
        }
    }

    /// Makes what is secret its owner's alone, where earlier versions or somebody else did not, and says when others can look
    /// into the folder.
    pub(crate) fn close_to_others(&self) {
        for name in SECRETS {
            let path = self.file(name);
            let Some(mode) = open_mode(&path) else { continue };
            let closed = fs::set_permissions(&path, Permissions::from_mode(mode & 0o700));
            match closed {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "a file that others could read is closed to them");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "others can read a file with secrets");
                }
            }
        }
        tell_if_open(&self.path);
    }

    /// The secret of this name: the one that is kept, or a new one, kept from now on.
    pub(crate) fn secret(&self, name: &str) -> Result<Secret, DataDirError> {
        let path = self.file(name);
        if let Some(unkept) = self.unkept().get(name) {
            return Ok(*unkept);
        }
        match fs::read(&path) {
            Ok(kept) => Secret::try_from(kept).map_err(|_| DataDirError::Broken { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_secret(name, path),
            Err(source) => Err(DataDirError::Keep { path, source }),
        }
    }

    fn unkept(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the secrets that could not be kept when they were made. Why that is still so, if it is.
    pub(crate) fn mend(&self) -> Option<String> {
        let mut unkept = self.unkept();
        while let Some((name, secret)) = unkept.first_key_value() {
            if let Err(error) = self.keep_secret(&self.file(name), secret) {
                return Some(format!("the new {name} cannot be kept: {error}"));
            }
            tracing::info!(name, "a new secret is kept");
            unkept.pop_first();
        }
        None
    }

    fn keep_secret(&self, path: &Path, secret: &Secret) -> io::Result<()> {
        // A file of this kind is its owner's alone. It gets its name when it is whole.
        let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
        file.write_all(secret)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(&self.path)?.sync_all()
    }

    fn make_secret(&self, name: &str, path: PathBuf) -> Result<Secret, DataDirError> {
        let mut secret = Secret::default();
        rand::fill(&mut secret).map_err(|_| DataDirError::Random)?;
        match self.keep_secret(&path, &secret) {
            Ok(()) => Ok(secret),
            // A folder that could not be made for the same reason is not there.
            Err(error) if is_of_the_disk(&error) || !self.path.exists() => {
                tracing::error!(path = %path.display(), %error, "a new secret is not kept: a restart before it is makes what it seals worthless");
                self.unkept().insert(name.to_owned(), secret);
                Ok(secret)
            }
            // Another process was faster, and its secret holds.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let kept =
                    fs::read(&path).map_err(|source| DataDirError::Keep { path: path.clone(), source })?;
                Secret::try_from(kept).map_err(|_| DataDirError::Broken { path })
            }
            Err(source) => Err(DataDirError::Keep { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_is_the_owners_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = DataDir::open(&path).unwrap().secret("session.key").unwrap();
        let again = DataDir::open(&path).unwrap();
        assert_eq!(again.secret("session.key").unwrap(), first);
        assert_ne!(again.secret("other.key").unwrap(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("session.key"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn starts_at_the_same_time_agree_on_one_secret() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| dir.secret("session.key").unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_broken_secret_is_not_replaced_silently() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("session.key"), "short").unwrap();
        let dir = DataDir::open(parent.path()).unwrap();
        assert!(matches!(dir.secret("session.key"), Err(DataDirError::Broken { .. })));
    }

    #[test]
    fn a_folder_that_cannot_be_is_told() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDir::open(&file.join("data")).unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }
}
