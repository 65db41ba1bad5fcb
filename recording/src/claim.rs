//! Claims a folder for one process by a lock on a file in it.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::Duration;

/// How often a lock that another process holds is tried, and at what interval.
const ATTEMPTS: u32 = 20;
const INTERVAL: Duration = Duration::from_millis(100);

/// Locks a file, and waits up to two seconds for it.
///
/// A child process inherits its parent's locks and holds them until it executes its own program: also those of a parent
/// that was killed, or has given them back. A moment later they are free.
///
/// # Errors
///
/// `WouldBlock` if another process holds the lock; other errors if the file system does not support locks.
pub fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(INTERVAL),
            settled => return settled,
        }
    }
    file.try_lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_a_child_still_holds_is_waited_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inherited = file.reopen().unwrap();
        inherited.lock().unwrap();
        let child = thread::spawn(move || {
            thread::sleep(INTERVAL * 2);
            drop(inherited);
        });
        lock(file.as_file()).unwrap();
        child.join().unwrap();
    }

    #[test]
    fn a_lock_of_a_running_process_stays_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let owner = file.reopen().unwrap();
        owner.lock().unwrap();
        assert!(matches!(lock(file.as_file()), Err(TryLockError::WouldBlock)));
    }
}
