//! Memory per session, as the slope between a few and many.

use super::fleet::Fleet;
use super::server::Running;

/// Members of a room.
const ROOM: usize = 10;
/// Chat messages sent by each member before memory is read.
const MESSAGES: usize = 3;

/// Bytes per additional session, from `few` to `many`.
pub(super) fn measure(server: &Running, few: usize, many: usize) -> anyhow::Result<f64> {
    let mut fleet = Fleet::new(server)?;
    let at_few = grow(&mut fleet, server, few)?;
    let at_many = grow(&mut fleet, server, many)?;
    Ok((at_many - at_few) / f64::from(u32::try_from(many - few)?))
}

fn grow(fleet: &mut Fleet<'_>, server: &Running, sessions: usize) -> anyhow::Result<f64> {
    fleet.fill(sessions, ROOM)?;
    for _ in 0..MESSAGES {
        for sender in 0..sessions {
            fleet.chat(sender, 80)?;
            if sender % 50 == 49 {
                fleet.pump(std::time::Duration::ZERO, &mut Vec::new())?;
            }
        }
        fleet.settle()?;
    }
    Ok(f64::from(u32::try_from(server.resident_bytes()? / 1024)?) * 1024.0)
}
