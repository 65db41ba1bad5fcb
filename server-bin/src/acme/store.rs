//! The files of ACME in the data folder: the account, the certificate, and the attempts.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};

use super::Directory;
use super::schedule::Schedule;
use crate::data_dir::DataDir;

/// The files, of which only those count that belong to this directory and this name.
pub(crate) struct Store {
    folder: PathBuf,
    account: PathBuf,
    certificate: PathBuf,
    attempts: PathBuf,
    directory: String,
    name: String,
}

/// An account with the directory that it belongs to.
#[derive(Deserialize, Serialize)]
struct Account {
    directory: String,
    credentials: AccountCredentials,
}

/// The attempts with the directory and the name that they were for.
#[derive(Deserialize, Serialize)]
struct Attempts {
    directory: String,
    name: String,
    schedule: Schedule,
}

const DIRECTORY: &str = "Directory: ";
const NAME: &str = "Name: ";

impl Store {
    pub(crate) fn new(data: &DataDir, directory: &Directory) -> Self {
        let account = data.file("acme-account.json");
        Self {
            folder: account.parent().map(Path::to_owned).unwrap_or_default(),
            account,
            certificate: data.file("acme-certificate.pem"),
            attempts: data.file("acme-attempts.json"),
            directory: directory.url.clone(),
            name: directory.name.clone(),
        }
    }

    /// The chain and its key, if there is a certificate of this directory for this name.
    pub(crate) fn pem(&self) -> Option<Vec<u8>> {
        let text = fs::read_to_string(&self.certificate).ok()?;
        let mut lines = text.lines();
        let is_ours = lines.next()?.strip_prefix(DIRECTORY)? == self.directory
            && lines.next()?.strip_prefix(NAME)? == self.name;
        is_ours.then(|| text.into_bytes())
    }

    pub(super) fn keep_pem(&self, pem: &str) -> io::Result<()> {
        let text = format!("{DIRECTORY}{}\n{NAME}{}\n{pem}", self.directory, self.name);
        self.keep(&self.certificate, text.as_bytes())
    }

    pub(super) fn account(&self) -> Option<AccountCredentials> {
        let kept: Account = serde_json::from_slice(&fs::read(&self.account).ok()?).ok()?;
        (kept.directory == self.directory).then_some(kept.credentials)
    }

    pub(super) fn keep_account(&self, credentials: AccountCredentials) -> io::Result<()> {
        let account = Account { directory: self.directory.clone(), credentials };
        self.keep(&self.account, &serde_json::to_vec(&account)?)
    }

    /// Removes an account that the directory does not know any more.
    pub(super) fn forget_account(&self) {
        let _ = fs::remove_file(&self.account);
    }

    pub(super) fn schedule(&self) -> Schedule {
        let kept = fs::read(&self.attempts).ok();
        let kept = kept.and_then(|kept| serde_json::from_slice::<Attempts>(&kept).ok());
        kept.filter(|kept| kept.directory == self.directory && kept.name == self.name)
            .map(|kept| kept.schedule)
            .unwrap_or_default()
    }

    pub(super) fn keep_schedule(&self, schedule: &Schedule) -> io::Result<()> {
        let (directory, name) = (self.directory.clone(), self.name.clone());
        let attempts = Attempts { directory, name, schedule: schedule.clone() };
        self.keep(&self.attempts, &serde_json::to_vec(&attempts)?)
    }

    /// Writes a file that only its owner can read, as a whole or not at all.
    fn keep(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}
