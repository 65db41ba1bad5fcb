//! The state of the server, for probes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Whether the server works, and accepts new work.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Cancelled when the process is about to end.
    pub(crate) draining: CancellationToken,
    /// Engines that give no sign of life.
    silent: Mutex<Vec<String>>,
    /// Problems, by the part of the server they concern.
    troubles: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// Sets the engines that give no sign of life.
    pub(crate) fn set_silent(&self, engines: Vec<String>) {
        *hold(&self.silent) = engines;
    }

    /// Sets or clears the problem of a part of the server.
    pub(crate) fn set_trouble(&self, part: &'static str, trouble: Option<String>) {
        let mut troubles = hold(&self.troubles);
        match trouble {
            Some(trouble) => drop(troubles.insert(part, trouble)),
            None => drop(troubles.remove(part)),
        }
    }

    /// Why the process no longer works, if so.
    pub(crate) fn dead(&self) -> Option<String> {
        let silent = hold(&self.silent);
        (!silent.is_empty()).then(|| format!("no sign of life from: {}", silent.join(", ")))
    }

    /// Why it should not receive new work, if so.
    pub(crate) fn unready(&self) -> Option<String> {
        if self.draining.is_cancelled() {
            return Some("draining: the server is about to end".to_owned());
        }
        self.dead().or_else(|| {
            let troubles = hold(&self.troubles);
            let words = troubles.iter().map(|(part, trouble)| format!("{part}: {trouble}"));
            (!troubles.is_empty()).then(|| words.collect::<Vec<_>>().join("; "))
        })
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_order_is_named_until_it_is_not() {
        let health = Health::default();
        assert_eq!((health.dead(), health.unready()), (None, None));
        health.set_trouble("data folder", Some("gone".to_owned()));
        assert_eq!((health.dead(), health.unready()), (None, Some("data folder: gone".to_owned())));
        health.set_silent(vec!["shard 0".to_owned()]);
        assert_eq!(health.dead().unwrap(), "no sign of life from: shard 0");
        assert_eq!(health.unready(), health.dead());
        health.set_silent(Vec::new());
        health.set_trouble("data folder", None);
        assert_eq!(health.unready(), None);
        health.draining.cancel();
        assert!(health.unready().unwrap().starts_with("draining"));
    }
}
