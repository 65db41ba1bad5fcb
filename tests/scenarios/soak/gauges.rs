//! Resource use of a server, according to the kernel and to its own metrics.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use tests::{Visavis, get};

/// Threads that tokio may keep for blocking work, started on demand: fewer than any round would leak.
const SPARE_THREADS: usize = 3;

/// Both, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    /// KiB of resident memory.
    pub(crate) memory: u64,
    /// Open descriptors.
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// The gauges in `/metrics`.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Gauges {
    pub(crate) fn read(server: &Visavis, metrics: SocketAddr) -> Self {
        let process = format!("/proc/{}", server.pid().as_raw_pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let page = get(metrics, "/metrics").body;
        let gauges = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" gauge"));
        // Memory is judged by itself.
        let gauges = gauges.filter(|name| !name.starts_with("process_"));
        let counts = gauges.filter_map(|name| {
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            Some((name.trim_start_matches("visavis_").to_owned(), value.parse().unwrap()))
        });
        Self {
            memory: memory.trim().trim_end_matches(" kB").parse().unwrap(),
            counts: counts.collect(),
            // The database's pool opens connections on demand, up to its limit: each uses some files and a thread.
            descriptors: entries(&process, "fd", |fd| {
                fs::read_link(fd).is_ok_and(|file| !file.to_string_lossy().contains("/visavis.db"))
            }),
            threads: entries(&process, "task", |task| {
                fs::read_to_string(task.join("comm")).is_ok_and(|name| !name.starts_with("sqlx-sqlite"))
            }),
        }
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counts[name]
    }

    /// Values that have increased, except memory.
    pub(crate) fn beyond(&self, before: &Self) -> Vec<String> {
        let mut more = Vec::new();
        let mut compare = |name: &str, was: u64, is: u64| {
            if is > was {
                more.push(format!("{name}: {is}, and {was} before"));
            }
        };
        compare("descriptors", before.descriptors as u64, self.descriptors as u64);
        compare("threads", (before.threads + SPARE_THREADS) as u64, self.threads as u64);
        for (name, was) in &before.counts {
            compare(name, *was, self.count(name));
        }
        more
    }
}

/// Counts entries of a folder that match; entries that disappear before they are read are skipped.
fn entries(process: &str, folder: &str, counts: impl Fn(PathBuf) -> bool) -> usize {
    let entries = fs::read_dir(format!("{process}/{folder}")).unwrap();
    entries.filter_map(Result::ok).filter(|entry| counts(entry.path())).count()
}
