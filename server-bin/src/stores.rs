//! Monitors persistent stores: tells probes what cannot be stored, and stores it once that is possible.

use std::sync::Arc;
use std::time::Duration;

use meetings::Meetings;

use crate::data_dir::DataDir;
use crate::health::Health;
use crate::room_store::RoomJournal;

/// Interval between two checks.
const LOOK: Duration = Duration::from_secs(1);

/// Runs for the life of the process.
pub(crate) async fn look_after(data: DataDir, journal: RoomJournal, meetings: Meetings, health: Arc<Health>) {
    loop {
        let (data, journal) = (data.clone(), journal.clone());
        let mended = tokio::task::spawn_blocking(move || (data.mend(), journal.mend())).await;
        // A panic inside is reported as one.
        let (secrets, rooms) = mended.unwrap_or_default();
        health.set_trouble("secrets", secrets);
        health.set_trouble("rooms", rooms);
        health.set_trouble("meetings", meetings.store().trouble());
        tokio::time::sleep(LOOK).await;
    }
}
