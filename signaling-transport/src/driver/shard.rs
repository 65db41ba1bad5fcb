//! The task that runs one shard.

use std::sync::Arc;
use std::time::Duration;

use signaling_core::message::{Host, IceServers, Join, TopologyChoice};
use signaling_core::room::{Announcement, Caption, RoomRecord};
use signaling_core::{
    Census, ConnectionId, EndReason, Envelope, Frame, Grant, IceProvider, LifeId, MadeRoom, MediaEvent,
    MediaJoin, NewConnection, Person, Refusal, RequestId, RoomId, RoomSummary, Seat, SessionClaims, Shard,
    StreamRefusal, Timestamp, Unreadable, WallClock,
};
use tokio::sync::{mpsc, oneshot};

use super::SystemClock;
use super::pace::Pace;

/// A message of a client, or why it could not be read.
pub(crate) type Incoming = Result<Envelope, Unreadable>;

/// The answer to a join or resume.
pub(crate) type Seated = Result<(Seat, Arc<Frame>), Refusal>;

/// A command to a shard's task. Each is one call of [`Shard`].
pub(crate) enum Command {
    MakeRoom {
        room: RoomId,
        topology: TopologyChoice,
        reply: oneshot::Sender<Result<MadeRoom, Refusal>>,
    },
    Join {
        join: Box<Join>,
        grant: Grant,
        connection: Option<(NewConnection, Option<RequestId>)>,
        reply: oneshot::Sender<Seated>,
    },
    JoinMedia {
        asked: Box<MediaJoin>,
        reply: oneshot::Sender<Result<Seat, Refusal>>,
    },
    Resume {
        claims: Box<SessionClaims>,
        last_id: u64,
        connection: Option<(NewConnection, Option<RequestId>)>,
        reply: oneshot::Sender<Seated>,
    },
    Attach {
        claims: Box<SessionClaims>,
        last_id: Option<u64>,
        connection: NewConnection,
        reply: oneshot::Sender<Result<Seat, StreamRefusal>>,
    },
    Receive {
        seat: Arc<Seat>,
        connection: ConnectionId,
        message: Box<Incoming>,
        request: Option<RequestId>,
    },
    Post {
        seat: Seat,
        messages: Vec<Incoming>,
        reply: oneshot::Sender<bool>,
    },
    Writable {
        seat: Arc<Seat>,
        connection: ConnectionId,
    },
    Detach {
        seat: Arc<Seat>,
        connection: ConnectionId,
    },
    Media {
        room: RoomId,
        event: MediaEvent,
    },
    Arrange {
        record: Box<RoomRecord>,
        reply: oneshot::Sender<bool>,
    },
    People {
        room: RoomId,
        reply: oneshot::Sender<Option<Vec<Person>>>,
    },
    Record {
        room: RoomId,
        life: Option<LifeId>,
        on: bool,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Host {
        room: RoomId,
        host: Box<Host>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Caption {
        room: RoomId,
        caption: Box<Caption>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Announce {
        room: RoomId,
        announcement: Box<Announcement>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    EndRoom {
        room: RoomId,
        reason: EndReason,
        reply: oneshot::Sender<bool>,
    },
    Summary {
        room: RoomId,
        reply: oneshot::Sender<Option<RoomSummary>>,
    },
    RoomsAfter {
        after: Option<RoomId>,
        limit: usize,
        reply: oneshot::Sender<Vec<RoomSummary>>,
    },
    Ice {
        seat: Seat,
        reached_at: Option<String>,
        reply: oneshot::Sender<Option<IceServers>>,
    },
    Census {
        reply: oneshot::Sender<Census>,
    },
    GoAway {
        reconnect_after: Duration,
        reply: oneshot::Sender<()>,
    },
}

/// The most commands that are handled together, under one reading of the clock.
const BATCH: usize = 256;
/// How often a busy shard yields to other tasks before it handles its commands.
const TURNS: usize = 16;

/// Runs a shard until all senders of commands are gone.
pub(crate) async fn run(
    mut shard: Shard,
    ice: Arc<dyn IceProvider>,
    clock: SystemClock,
    mut commands: mpsc::Receiver<Command>,
) {
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
            carry_out(&mut shard, &*ice, now, command);
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

/// A caller that has gone away does not need its answer.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

fn carry_out(shard: &mut Shard, ice: &dyn IceProvider, now: Timestamp, command: Command) {
    match command {
        Command::MakeRoom { room, topology, reply } => answer(reply, shard.make_room(now, room, topology)),
        Command::Join { join, grant, connection, reply } => {
            answer(reply, shard.join(now, &join, &grant, connection));
        }
        Command::JoinMedia { asked, reply } => answer(reply, shard.join_media(now, &asked)),
        Command::Resume { claims, last_id, connection, reply } => {
            answer(reply, shard.resume(now, &claims, last_id, connection));
        }
        Command::Attach { claims, last_id, connection, reply } => {
            answer(reply, shard.attach(now, &claims, last_id, || connection));
        }
        Command::Receive { seat, connection, message, request } => {
            shard.receive(now, &seat, Some(connection), *message, request);
        }
        Command::Post { seat, messages, reply } => {
            let known = shard.knows(&seat);
            for message in messages {
                shard.receive(now, &seat, None, message, None);
            }
            answer(reply, known);
        }
        Command::Writable { seat, connection } => shard.writable(now, &seat, connection),
        Command::Detach { seat, connection } => shard.detach(now, &seat, connection),
        Command::Media { room, event } => shard.media(now, &room, event),
        Command::Arrange { record, reply } => answer(reply, shard.arrange(now, record)),
        Command::People { room, reply } => answer(reply, shard.people(&room)),
        Command::Record { room, life, on, reply } => answer(reply, shard.record(now, &room, life, on)),
        Command::Host { room, host, reply } => answer(reply, shard.host(now, &room, &host)),
        Command::Caption { room, caption, reply } => answer(reply, shard.caption(now, &room, &caption)),
        Command::Announce { room, announcement, reply } => {
            answer(reply, shard.announce(now, &room, &announcement));
        }
        Command::EndRoom { room, reason, reply } => answer(reply, shard.end_room(now, &room, reason)),
        Command::Summary { room, reply } => answer(reply, shard.summary(&room)),
        Command::RoomsAfter { after, limit, reply } => {
            answer(reply, shard.rooms_after(after.as_ref(), limit));
        }
        Command::Ice { seat, reached_at, reply } => {
            let servers = shard
                .is_joined(&seat)
                .then(|| ice.ice_servers(shard.wall().at(now), &seat.room, seat.peer, reached_at.as_deref()));
            answer(reply, servers);
        }
        Command::Census { reply } => answer(reply, shard.census()),
        Command::GoAway { reconnect_after, reply } => {
            shard.go_away(now, u64::try_from(reconnect_after.as_millis()).unwrap_or(u64::MAX));
            answer(reply, ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that a shard gathers that has one, while this many connections are about to send one each.
    async fn gathered(connections: usize) -> Vec<Command> {
        let command = || Command::Census { reply: oneshot::channel().0 };
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
