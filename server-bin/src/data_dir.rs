//! The folder of what outlives the process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;

/// The folder, known to exist.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
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
}

impl DataDir {
    /// Makes the folder when it is not there, for its owner alone.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| DataDirError::Make { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Where a file of this name lies.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Says when another server uses the folder: what one keeps of rooms, the other does not know of, and whoever starts
    /// last takes the recordings of both in hand. The claim ends with the process, however that ends.
    pub(crate) fn claim(&self) -> Option<File> {
        let path = self.file("in-use");
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let claimed = opened.and_then(|file| match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match claimed {
            Ok(Some(file)) => return Some(file),
            Ok(None) => tracing::warn!(
                folder = %self.path.display(),
                "another server uses the data folder: give each its own with --data-dir, or rooms and recordings get lost"
            ),
            // Some network file systems know no locks.
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "the data folder cannot be claimed");
            }
        }
        None
    }

    /// The secret of this name: the one that is kept, or a new one, kept from now on.
    pub(crate) fn secret(&self, name: &str) -> Result<Secret, DataDirError> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(kept) => Secret::try_from(kept).map_err(|_| DataDirError::Broken { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_secret(path),
            Err(source) => Err(DataDirError::Keep { path, source }),
        }
    }

    fn make_secret(&self, path: PathBuf) -> Result<Secret, DataDirError> {
        let mut secret = Secret::default();
        rand::fill(&mut secret).map_err(|_| DataDirError::Random)?;
        let keep = || -> Result<(), io::Error> {
            // A file of this kind is its owner's alone. It gets its name when it is whole.
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(&secret)?;
            file.as_file().sync_all()?;
            file.persist_noclobber(&path)?;
            File::open(&self.path)?.sync_all()
        };
        match keep() {
            Ok(()) => Ok(secret),
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
    use std::os::unix::fs::PermissionsExt;

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
