//! Checks that the folders the server writes to are still the ones it started with.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::{fs, io};

use signaling_core::Watch;

use crate::health::Health;

/// Interval between two checks.
const LOOK: Duration = Duration::from_secs(1);

/// A folder or file, identified by its device and inode numbers.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    identity: (u64, u64),
}

impl Place {
    /// Records what is at the path now.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&fs::metadata(path)?) })
    }

    /// What has happened to it, if anything; later writes would be lost.
    pub(crate) fn trouble(&self) -> Option<String> {
        let path = self.path.display();
        match fs::metadata(&self.path) {
            Ok(metadata) if identity(&metadata) == self.identity => None,
            Ok(_) => Some(format!("{path} was replaced by another")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("{path} was deleted")),
            Err(error) => Some(format!("{path} cannot be looked at: {error}")),
        }
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Reports changes of places to `health` and the log, on a thread of its own: a missing disk may block it for ever.
pub(crate) fn watch(
    places: Vec<(&'static str, Vec<Place>)>,
    health: Arc<Health>,
    watch: &Watch,
) -> io::Result<()> {
    let engine = watch.patient_engine("folders", Duration::MAX);
    thread::Builder::new().name("folders".into()).spawn(move || {
        let mut told = vec![None; places.len()];
        loop {
            engine.sign();
            for ((name, places), told) in places.iter().zip(&mut told) {
                let trouble = places.iter().find_map(Place::trouble);
                health.set_trouble(name, trouble.clone());
                if *told != trouble {
                    if let Some(trouble) = &trouble {
                        tracing::error!(
                            "the {name} is not what it was, and what is written is lost: {trouble}; restart the server"
                        );
                    } else {
                        tracing::info!("the {name} is as it was");
                    }
                }
                *told = trouble;
            }
            thread::sleep(LOOK);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_again_and_missed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        fs::create_dir(&path).unwrap();
        let place = Place::new(&path).unwrap();
        assert_eq!(place.trouble(), None);
        let aside = parent.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        assert!(place.trouble().unwrap().ends_with("was deleted"));
        fs::create_dir(&path).unwrap();
        assert!(place.trouble().unwrap().contains("replaced"));
        fs::remove_dir(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
        assert_eq!(place.trouble(), None, "it is back");
    }
}
