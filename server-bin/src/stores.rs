//! Looks after what outlives the process: tells probes what cannot be kept, and keeps it when it can be.

use std::sync::Arc;
use std::time::Duration;

use meetings::Meetings;

use crate::data_dir::DataDir;
use crate::health::Health;
use crate::room_store::RoomJournal;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Looks for as long as the process lives.
pub(crate) async fn look_after(data: DataDir, journal: RoomJournal, meetings: Meetings, health: Arc<Health>) {
    loop {
        let (data, journal) = (data.clone(), journal.clone());
        let mended = tokio::task::spawn_blocking(move || (data.mend(), journal.mend())).await;
        // A panic in there is told as one.
        let (secrets, rooms) = mended.unwrap_or_default();
        health.set_trouble("secrets", secrets);
        health.set_trouble("rooms", rooms);
        health.set_trouble("meetings", meetings.store().trouble());
        tokio::time::sleep(LOOK).await;
    }
}
