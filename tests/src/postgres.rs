//! A `PostgreSQL` of a test's own, in a folder of its own, reached by a socket there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A cluster that is removed when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
}

impl Postgres {
    /// Makes and starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let postgres = Self { folder, programs: programs() };
        let data = postgres.data();
        postgres.run("initdb", &["-D", &data, "-U", "visavis", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        postgres.up();
        postgres.run("createdb", &["-h", postgres.socket(), "-U", "visavis", "meetings"]);
        postgres
    }

    fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }

    fn socket(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Starts it (again).
    pub fn up(&self) {
        let options = format!("-c listen_addresses= -k {}", self.socket());
        let log = self.folder.path().join("log");
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-o", &options, "-l", log.to_str().unwrap(), "start"]);
    }

    /// Stops it as a crash would.
    pub fn down(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }

    /// What `--database-url` takes.
    pub fn url(&self) -> String {
        format!("postgres://visavis@localhost/meetings?host={}", self.socket())
    }

    /// Runs one of its programs: never as root, which they refuse.
    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        let done = command.args(arguments).current_dir(self.folder.path()).output().unwrap();
        // What pg_ctl starts would hold a pipe of ours open, were it not for -l.
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.down();
        }
    }
}

/// Where the newest version's programs lie; Debian has them in no path.
fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
        found.unwrap_or_else(|| Path::new("PostgreSQL is missing: apt-get install postgresql").to_owned())
    })
}
