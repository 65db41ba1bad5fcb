//! Takes from the process what the server never needs, so that a fault in it opens less: it writes in its own folders
//! alone (Landlock), and cannot make system calls that administrate the machine or look into other processes (seccomp).
//!
//! Both hold for every thread and child that starts afterwards. What the kernel lacks is left out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;
use landlock::{
    ABI, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetStatus, path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::recordings;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Entered {
    files: anyhow::Result<RulesetStatus>,
    calls: anyhow::Result<Filter>,
}

/// Which filter refuses system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Ours,
    /// That of what started the server, a unit of systemd for instance, which allows no other.
    Inherited,
    /// The kernel would make the whole process slower.
    None,
}

impl Entered {
    /// Tells the log, which starts only afterwards: its thread is restricted too.
    pub(crate) fn log(&self) {
        match &self.files {
            Ok(RulesetStatus::NotEnforced) => {
                tracing::info!(
                    "this kernel has no Landlock: nothing but permissions keeps the server in its folders"
                );
            }
            Ok(status) => tracing::debug!(?status, "the server writes in its own folders alone"),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the server is not kept in its folders");
            }
        }
        match &self.calls {
            Ok(Filter::Ours) => tracing::debug!("system calls of administration are refused"),
            Ok(Filter::Inherited) => tracing::debug!("system calls are filtered by what started the server"),
            Ok(Filter::None) => {
                tracing::debug!(
                    "system calls are not filtered: on this kernel a filter slows everything down"
                );
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "system calls are not filtered"),
        }
    }
}

/// Restricts this thread, and the threads and children that it starts from now on.
pub(crate) fn enter(settings: &Settings) -> Entered {
    Entered {
        files: restrict_writes(settings).context("Landlock"),
        calls: restrict_calls().context("seccomp"),
    }
}

fn restrict_writes(settings: &Settings) -> anyhow::Result<RulesetStatus> {
    let writes = AccessFs::from_write(ABI::V5);
    let rules = path_beneath_rules(writable(settings), writes);
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(writes)?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(restricted.ruleset)
}

/// The folders that the server, SQLite and ffmpeg write in.
fn writable(settings: &Settings) -> Vec<PathBuf> {
    let data = DataDir::unmade(&settings.data_dir);
    let own = [settings.data_dir.clone(), recordings::folder(settings, &data)];
    // Of folders in the data folder that are elsewhere in truth, only the recordings may not exist yet.
    let linked = fs::read_dir(&settings.data_dir).into_iter().flatten().flatten();
    let linked = linked.map(|entry| entry.path()).filter(|path| path.is_symlink() && path.is_dir());
    let of_the_system = [env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev".into()];
    let own = own.iter().filter_map(|path| existing(path));
    let of_the_system = of_the_system.into_iter().filter(|path| path.exists());
    own.chain(linked).chain(of_the_system).collect()
}

/// The folder, made if it is missing, or the nearest one around it that exists: on a full disk it is made later.
fn existing(folder: &Path) -> Option<PathBuf> {
    let _ = DataDir::open(folder);
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().find(|path| path.exists()).map(Path::to_owned)
}

/// The first kernel on which a filter does not switch off speculation for the whole process, which would cost every
/// system call of the media path.
const CHEAP_FILTERS: (u32, u32) = (5, 16);

fn restrict_calls() -> anyhow::Result<Filter> {
    if kernel().is_none_or(|version| version < CHEAP_FILTERS) {
        return Ok(Filter::None);
    }
    let rules: BTreeMap<i64, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refusal = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, env::consts::ARCH.try_into()?)?;
    match seccompiler::apply_filter(&BpfProgram::try_from(filter)?) {
        Ok(()) => Ok(Filter::Ours),
        Err(seccompiler::Error::Seccomp(error))
            if is_filtered() && error.kind() == ErrorKind::PermissionDenied =>
        {
            Ok(Filter::Inherited)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a filter is in force on this thread.
fn is_filtered() -> bool {
    fs::read_to_string("/proc/thread-self/status").is_ok_and(|status| status.contains("Seccomp:\t2\n"))
}

/// The version of the running kernel.
fn kernel() -> Option<(u32, u32)> {
    let name = rustix::system::uname();
    let mut parts = name.release().to_str().ok()?.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// System calls that neither the server nor ffmpeg makes.
const REFUSED: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The kernel, and what runs in it.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_syslog,
    // Namespaces and file systems.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Keys of the kernel.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::config::{Config, Layers};

    #[test]
    fn a_folder_that_cannot_be_made_is_allowed_as_the_one_around_it() {
        let parent = tempfile::tempdir().unwrap();
        let made = parent.path().join("a/b");
        assert_eq!(existing(&made), Some(made.clone()));
        fs::write(parent.path().join("file"), "").unwrap();
        let unmade = parent.path().join("file/b");
        assert_eq!(existing(&unmade), Some(parent.path().join("file")));
    }

    /// Runs on a thread of its own, since the other tests are not to be restricted.
    fn restricted<T: Send>(test: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(test).join().unwrap())
    }

    #[test]
    fn the_server_writes_in_its_own_folders_alone() {
        // Not in a folder of temporary files, in which everybody may write.
        let parent = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = |name: &str| parent.path().join(name);
        let linked = path("recordings-on-another-disk");
        fs::create_dir(&linked).unwrap();
        fs::create_dir(path("data")).unwrap();
        std::os::unix::fs::symlink(&linked, path("data/recordings")).unwrap();
        let mut layers = Layers::defaults();
        layers.file("visavis.toml".as_ref(), &format!("data-dir = '{}'", path("data").display())).unwrap();
        let settings = Config::new(layers).unwrap().settings;
        restricted(|| {
            if restrict_writes(&settings).unwrap() == RulesetStatus::NotEnforced {
                return;
            }
            fs::write(path("data/visavis.db"), "").unwrap();
            fs::rename(path("data/visavis.db"), path("data/recordings/moved")).unwrap();
            fs::write("/dev/null", "").unwrap();
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2, "everything can be read");
            let refused = fs::write(path("elsewhere"), "").unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
        });
    }

    #[test]
    fn calls_of_administration_are_refused() {
        restricted(|| {
            if restrict_calls().unwrap() == Filter::Ours {
                assert!(is_filtered());
                // The filter refuses before the kernel checks the path or the caller's privileges.
                assert_eq!(rustix::process::chroot("/no/such/folder").unwrap_err(), rustix::io::Errno::PERM);
            }
        });
    }
}
