//! What the server uses beside itself: ffmpeg and the database.

use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Finding;
use crate::config::{OnOff, Settings};
use crate::data_dir::DataDir;
use crate::meetings;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let records = !settings.no_recording && !settings.no_sfu && settings.recording_finalize == OnOff::On;
    findings.extend(records.then(|| ffmpeg(settings)));
    findings.push(database(settings).await);
    findings
}

fn ffmpeg(settings: &Settings) -> Finding {
    const CHECK: &str = "ffmpeg";
    let program = settings.ffmpeg.display();
    let remedy = "install it, name it with --ffmpeg, or say --recording-finalize off: recordings stay as they were written";
    let run =
        Command::new(&settings.ffmpeg).arg("-version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match run {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.split_whitespace().nth(2).unwrap_or("of an unknown version").to_owned();
            Finding::fine(CHECK, format!("{program} {version}"))
        }
        Ok(output) => Finding::wrong(CHECK, format!("{program} ends with {}", output.status), remedy),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::wrong(CHECK, format!("{program} is not there"), remedy)
        }
        Err(error) => Finding::wrong(CHECK, format!("{program} cannot be run ({error})"), remedy),
    }
}

/// Asks the database, and changes nothing in it.
async fn database(settings: &Settings) -> Finding {
    const CHECK: &str = "database";
    let data = DataDir::unmade(&settings.data_dir);
    if settings.database_url.is_none() && !data.has(meetings::DATABASE) {
        return Finding::unknown(CHECK, "there is none yet: the first start makes it");
    }
    let store = match meetings::store_to_look_at(settings, &data) {
        Ok(store) => store,
        Err(error) => return Finding::wrong(CHECK, format!("{error:#}"), "look at --database-url"),
    };
    match tokio::time::timeout(PATIENCE, store.answers()).await {
        Ok(Ok(())) => Finding::fine(CHECK, format!("{} answers", store.place())),
        Ok(Err(error)) => Finding::wrong(
            CHECK,
            format!("{:#}", anyhow::Error::new(error)),
            "look at --database-url, and at the file in --data-dir",
        ),
        Err(_) => {
            Finding::wrong(CHECK, format!("{} does not answer", store.place()), "look at --database-url")
        }
    }
}
