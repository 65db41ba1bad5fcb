//! The task that runs one shard.

use std::sync::Arc;

use signaling_core::{
    ConnectionId, Envelope, Frame, Refusal, RequestId, Seat, Shard, Timestamp, Unreadable, WallClock,
};
use tokio::sync::mpsc;

use super::SystemClock;
use super::pace::Pace;

/// A message of a client, or why it could not be read.
pub(crate) type Incoming = Result<Envelope, Unreadable>;

/// The answer to a join or resume.
pub(crate) type Seated = Result<(Seat, Arc<Frame>), Refusal>;

/// A call of a shard, at the time of its task.
pub(crate) type Call = Box<dyn FnOnce(&mut Shard, Timestamp) + Send>;

/// A command to a shard's task.
pub(crate) enum Command {
    /// A message from a connection: the most frequent command, so it is not a closure.
    Receive { seat: Arc<Seat>, connection: ConnectionId, message: Box<Incoming>, request: Option<RequestId> },
    /// A connection can take frames again.
    Writable { seat: Arc<Seat>, connection: ConnectionId },
    /// Anything else that is asked of a shard or reported to it.
    Call(Call),
}

/// The most commands that are handled together, under one reading of the clock.
const BATCH: usize = 256;
/// How often a busy shard yields to other tasks before it handles its commands.
const TURNS: usize = 16;

/// Runs a shard until all senders of commands are gone.
pub(crate) async fn run(mut shard: Shard, clock: SystemClock, mut commands: mpsc::Receiver<Command>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut pace = Pace::new(clock.ticks());
    loop {
        let due = shard.poll_timeout();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(clock.deadline(due)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            count = commands.recv_many(&mut batch, BATCH) => if count == 0 { return },
            () = timer => {}
        }
        if pace.is_busy() {
            gather(&mut commands, &mut batch).await;
        }
        let now = clock.ticks();
        shard.set_wall(clock.wall(now));
        pace.note(now, batch.len());
        for command in batch.drain(..) {
            carry_out(&mut shard, now, command);
        }
        shard.handle_timeout(now);
    }
}

/// Yields while further commands arrive: connections with something to read get to run first, so that a session
/// receives the results of all of it in one write.
async fn gather(commands: &mut mpsc::Receiver<Command>, batch: &mut Vec<Command>) {
    for _ in 0..TURNS {
        let before = batch.len();
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(command) = commands.try_recv()
        {
            batch.push(command);
        }
        if batch.len() == before || batch.len() >= BATCH {
            return;
        }
    }
}

fn carry_out(shard: &mut Shard, now: Timestamp, command: Command) {
    match command {
        Command::Receive { seat, connection, message, request } => {
            shard.receive(now, &seat, Some(connection), *message, request);
        }
        Command::Writable { seat, connection } => shard.writable(now, &seat, connection),
        Command::Call(call) => call(shard, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that a shard gathers that has one, while this many connections are about to send one each.
    async fn gathered(connections: usize) -> Vec<Command> {
        let command = || Command::Call(Box::new(|_, _| {}));
        let (sender, mut commands) = mpsc::channel(4096);
        for _ in 0..connections {
            let sender = sender.clone();
            tokio::spawn(async move { assert!(sender.send(command()).await.is_ok()) });
        }
        let mut batch = vec![command()];
        gather(&mut commands, &mut batch).await;
        batch
    }

    #[tokio::test]
    async fn company_that_is_on_its_way_is_waited_for() {
        assert_eq!(gathered(100).await.len(), 101);
    }

    #[tokio::test]
    async fn there_is_an_end_to_waiting() {
        assert_eq!(gathered(0).await.len(), 1);
        assert_eq!(gathered(2 * BATCH).await.len(), BATCH);
    }
}
