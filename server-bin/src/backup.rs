//! Backups of the data folder.
//!
//! A backup is a folder with a copy of everything that a server keeps, apart from the media of recordings. Its list of
//! checksums, which `sha256sum -c` reads too, is written last: a folder without it is not a backup.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};

use crate::config::Settings;
use crate::data_dir::{CLAIM, DataDir};
use crate::meetings::{self, DATABASE};
use crate::recordings;

const CHECKSUMS: &str = "SHA256SUMS";
/// Where the notes about recordings are in a backup.
const RECORDINGS: &str = "recordings/";

/// Copies everything that a server keeps into a new folder. The server may run meanwhile.
pub(crate) fn make(settings: &Settings, folder: &Path) -> anyhow::Result<String> {
    let data = DataDir::existing(&settings.data_dir)?;
    let made = DirBuilder::new().mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let copied = fill(settings, &data, folder);
    if copied.is_err() {
        // An incomplete folder must not be taken for a backup. The error to report is that of the backup.
        let _ = fs::remove_dir_all(folder);
    }
    let mut told = format!("{} files copied; the media of recordings are not among them\n", copied?);
    if settings.database_url.is_some() {
        told += "Meetings and API keys are in PostgreSQL: copy them with pg_dump\n";
    }
    Ok(told)
}

/// Returns the number of copied files.
fn fill(settings: &Settings, data: &DataDir, folder: &Path) -> anyhow::Result<usize> {
    let (inside, outside) = (fs::canonicalize(folder)?, fs::canonicalize(&settings.data_dir)?);
    ensure!(!inside.starts_with(outside), "a backup belongs outside of the data folder");
    let mut checksums = String::new();
    let mut add = |name: &str, content: &[u8]| writeln!(checksums, "{}  {name}", checksum(content));
    let mut count = 0;
    if settings.database_url.is_none() && data.has(DATABASE) {
        let copy = folder.join(DATABASE);
        // Made beforehand, so that it is accessible to its owner only from the first moment.
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy)?);
        meetings::copy_database(data, &copy)?;
        File::open(&copy)?.sync_all()?;
        add(DATABASE, &fs::read(&copy)?)?;
        count += 1;
    }
    let media = recordings::folder(settings, data);
    for (name, path) in kept_files(data, &media)?.into_iter().chain(notes(&media)?) {
        let content = match fs::read(&path) {
            // Deleted in the meantime: the chat of a room, or a recording.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            content => content.with_context(|| format!("cannot read {}", path.display()))?,
        };
        write_new(&folder.join(&name), &content)?;
        add(&name, &content)?;
        count += 1;
    }
    write_new(&folder.join(CHECKSUMS), checksums.as_bytes())?;
    File::open(folder)?.sync_all()?;
    Ok(count)
}

/// Fills an empty data folder from a backup that is complete and unchanged.
pub(crate) fn restore(settings: &Settings, folder: &Path) -> anyhow::Result<String> {
    let names = checked(folder)?;
    if settings.database_url.is_some() && names.iter().any(|name| name == DATABASE) {
        bail!("the backup has its meetings in SQLite, and --database-url names another database");
    }
    let data = DataDir::open(&settings.data_dir)?;
    let _claim = data.claim()?;
    let path = settings.data_dir.display();
    for entry in fs::read_dir(&settings.data_dir)? {
        ensure!(
            entry?.file_name() == CLAIM,
            "{path} is not empty: move it away, or name another with --data-dir"
        );
    }
    let media = recordings::folder(settings, &data);
    let mut written = Vec::new();
    let copied = names.iter().try_for_each(|name| {
        let to = match name.strip_prefix(RECORDINGS) {
            Some(note) => media.join(note),
            None => data.file(name),
        };
        // Recordings in a folder of their own may have outlived the data folder.
        if name.starts_with(RECORDINGS) && to.exists() {
            return Ok(());
        }
        write_new(&to, &fs::read(folder.join(name))?)?;
        written.push(to);
        anyhow::Ok(())
    });
    if copied.is_err() {
        // A server must not start with a part of its data.
        for path in &written {
            let _ = fs::remove_file(path);
        }
    }
    copied?;
    File::open(&settings.data_dir)?.sync_all()?;
    Ok(format!("{} files restored\n", written.len()))
}

/// The names of the files of a backup, all of which are as they were written.
fn checked(folder: &Path) -> anyhow::Result<Vec<String>> {
    let list = fs::read_to_string(folder.join(CHECKSUMS));
    let list =
        list.with_context(|| format!("{} is not a complete backup: no {CHECKSUMS}", folder.display()))?;
    list.lines()
        .map(|line| {
            let (expected, name) = line.split_once("  ").context("the list of checksums is damaged")?;
            let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            ensure!(is_inside, "{name} is not a name in a backup");
            let content =
                fs::read(folder.join(name)).with_context(|| format!("cannot read {name} in the backup"))?;
            ensure!(checksum(&content) == expected, "{name} in the backup is damaged");
            Ok(name.to_owned())
        })
        .collect()
}

/// The name in a backup, and the path.
type Found = Vec<(String, PathBuf)>;

/// The files of the data folder that are copied as they are. Each is only appended to, or replaced as a whole.
fn kept_files(data: &DataDir, media: &Path) -> anyhow::Result<Found> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(data.file(&folder))? {
            let path = entry?.path();
            let Some(base) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = format!("{folder}{base}");
            let is_otherwise_kept = base.starts_with('.') || base == CLAIM || base.starts_with(DATABASE);
            if is_otherwise_kept || fs::canonicalize(&path).ok() == fs::canonicalize(media).ok() {
                continue;
            }
            if path.is_dir() { folders.push(format!("{name}/")) } else { found.push((name, path)) }
        }
    }
    found.sort();
    Ok(found)
}

/// The notes about recordings.
fn notes(media: &Path) -> anyhow::Result<Found> {
    let mut found = Vec::new();
    if media.is_dir() {
        for entry in fs::read_dir(media)? {
            let path = entry?.path();
            let Some(base) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if path.extension().is_some_and(|extension| extension == "json") && !base.starts_with('.') {
                found.push((format!("{RECORDINGS}{base}"), path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// SHA-256, in hexadecimal digits.
fn checksum(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        // A part of a file is no use to anybody.
        file.write_all(content).and_then(|()| file.sync_all()).inspect_err(|_| drop(fs::remove_file(path)))
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
