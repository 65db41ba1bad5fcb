//! Clock, limits and disk of the machine.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};
use signaling_core::message::Cause;

use super::Finding;
use crate::config::Settings;

/// Files that a small server has open: each connection and each relay is one.
const FILES: u64 = 4_096;
/// The least buffer of a socket for media, in KiB: 100 ms at 20 Mbit/s.
const BUFFER_KIB: u64 = 256;
/// The least free space, in MiB.
const FREE_MIB: u64 = 512;
/// A file may be this much ahead of the clock.
const AHEAD: Duration = Duration::from_mins(1);

pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![
        files(getrlimit(Resource::Nofile).maximum),
        buffers(Path::new("/proc/sys/net/core/rmem_max")),
        ipv6(),
    ];
    findings.push(clock(&settings.data_dir));
    findings.extend(folder(&settings.data_dir));
    findings
}

/// The hard limit counts, which the server takes.
fn files(limit: Option<u64>) -> Finding {
    const CHECK: &str = "files";
    match limit {
        Some(limit) if limit < FILES => Finding::wrong(
            CHECK,
            format!("the process may open {limit} files"),
            format!("allow {FILES} or more, with LimitNOFILE= of systemd, or ulimit -Hn"),
        ),
        Some(limit) => Finding::fine(CHECK, format!("the process may open {limit} files")),
        None => Finding::fine(CHECK, "the process may open any number of files"),
    }
}

fn buffers(limit: &Path) -> Finding {
    const CHECK: &str = "buffers";
    let text = fs::read_to_string(limit).unwrap_or_default();
    match text.trim().parse::<u64>().map(|bytes| bytes / 1_024) {
        Ok(kib) if kib < BUFFER_KIB => Finding::wrong(
            CHECK,
            format!("sockets may buffer {kib} KiB"),
            "set net.core.rmem_max and net.core.wmem_max to 2500000 with sysctl, or bursts of media are lost",
        ),
        Ok(kib) => Finding::fine(CHECK, format!("sockets may buffer {kib} KiB")),
        Err(_) => Finding::unknown(CHECK, format!("{} cannot be read", limit.display())),
    }
}

fn ipv6() -> Finding {
    const CHECK: &str = "families";
    let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).is_ok();
    let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    Finding::fine(
        CHECK,
        match (v4, v6) {
            (true, true) => "IPv4 and IPv6",
            (true, false) => "IPv4 alone",
            _ => "IPv6 alone",
        },
    )
}

/// The clock has been set back if files are from its future.
fn clock(folder: &Path) -> Finding {
    const CHECK: &str = "clock";
    let now = UNIX_EPOCH + clock::wall();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let newest =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.file_name()))).max();
    match newest {
        Some((at, name)) if at > now + AHEAD => Finding::wrong(
            CHECK,
            format!(
                "{} was written in the future, of {} seconds",
                name.display(),
                at.duration_since(now).unwrap_or_default().as_secs()
            ),
            "set the clock, and let NTP keep it: tokens, credentials and certificates go by it",
        )
        .because(Cause::ClockOff),
        _ => Finding::fine(
            CHECK,
            jiff::Timestamp::try_from(now)
                .map_or_else(|_| "not readable".to_owned(), |now| format!("{now:.0}")),
        ),
    }
}

fn folder(folder: &Path) -> Vec<Finding> {
    const CHECK: &str = "disk";
    let Some(there) = folder.ancestors().find(|path| path.is_dir() || path.as_os_str().is_empty()) else {
        return Vec::new();
    };
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let mut findings = Vec::new();
    if there == folder {
        let mode = fs::metadata(folder).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            findings.push(Finding::wrong(
                "data-folder",
                format!("others on this machine can look into {}", folder.display()),
                "chmod 700 it",
            ));
        }
    }
    // Permission bits do not tell what a read-only file system refuses.
    match tempfile::tempfile_in(there) {
        Ok(_) => findings.push(Finding::fine("data-folder", format!("{} can be written", there.display()))),
        Err(error) => findings.push(Finding::wrong(
            "data-folder",
            format!("{} cannot be written ({error})", there.display()),
            "look at its owner, or name another with --data-dir",
        )),
    }
    findings.push(match statvfs(there) {
        Ok(found) => space(CHECK, found.f_bavail.saturating_mul(found.f_frsize) / 1_048_576),
        Err(error) => Finding::unknown(CHECK, error.to_string()),
    });
    findings
}

fn space(check: &'static str, mib: u64) -> Finding {
    if mib < FREE_MIB {
        return Finding::wrong(
            check,
            format!("{mib} MiB are free"),
            "make room: without it nothing is kept, and nothing recorded",
        );
    }
    Finding::fine(check, format!("{} GiB are free", mib / 1_024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn small_limits_are_wrong() {
        for (finding, expected) in [
            (files(Some(1_024)), Verdict::Wrong),
            (files(Some(FILES)), Verdict::Fine),
            (files(None), Verdict::Fine),
            (space("disk", 100), Verdict::Wrong),
            (space("disk", 10_000), Verdict::Fine),
        ] {
            assert_eq!(finding.verdict, expected, "{finding:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let limit = folder.path().join("rmem_max");
        for (text, expected) in
            [("212992\n", Verdict::Wrong), ("4194304\n", Verdict::Fine), ("?", Verdict::Unknown)]
        {
            fs::write(&limit, text).unwrap();
            assert_eq!(buffers(&limit).verdict, expected, "{text}");
        }
    }
}
