//! A separate `PostgreSQL` cluster for a test, in its own folder, reached by a socket there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Runs the same test with both databases: its arguments are passed to the server's command line.
pub fn with_both(test: impl Fn(&[&str])) {
    test(&[]);
    let postgres = Postgres::start();
    test(&["--database-url", &postgres.url()]);
}

/// A cluster that is removed on drop.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
}

impl Postgres {
    /// Creates and starts a cluster.
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

    /// Starts it, also after a stop.
    pub fn up(&self) {
        // No test simulates a power cut, so syncing to disk is not needed.
        let options = format!("-c listen_addresses= -c fsync=off -k {}", self.socket());
        let log = self.folder.path().join("log");
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-o", &options, "-l", log.to_str().unwrap(), "start"]);
    }

    /// Stops it as a crash would.
    pub fn down(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }

    /// Suspends its processes: it accepts connections, but does not answer.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes its processes.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        let postmaster: i32 = file.lines().next().unwrap().parse().unwrap();
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // The parent is the second field after the name, which is in parentheses.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            (pid == postmaster || postmaster == parent).then_some(pid)
        });
        for pid in processes {
            // One of its helper processes may have ended just now.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    /// The value of `--database-url`.
    pub fn url(&self) -> String {
        format!("postgres://visavis@localhost/meetings?host={}", self.socket())
    }

    /// Runs one of its programs, never as root, which they refuse.
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
        // Without -l, the server started by pg_ctl would hold a pipe of ours open.
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.thaw();
            self.down();
        }
    }
}

/// The folder of the newest version's programs; Debian does not put them in the PATH.
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
