//! Many rooms, owned by one task.
//!
//! The shard finds the room of an input, wakes rooms whose timers are due, and remembers ended rooms whose names rest.
//! Everything within a room is the task of [`LiveRoom`], which does not know the shard.

mod entry;
mod overview;
mod wakeups;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use entry::{MadeRoom, MediaJoin, StreamRefusal};
pub use overview::{Census, Person, RoomSummary};

use self::wakeups::Wakeups;
use crate::live::LiveRoom;
use crate::message::{EndReason, Host, IceServers};
use crate::room::{Announcement, Caption, Room, RoomInput, RoomRecord};
use crate::session::Session;
use crate::{
    Code, ConnectionId, Envelope, Environment, LifeId, LogEvent, MediaEvent, NodeId, PeerMessage, Refusal,
    RequestId, RoomId, Seat, Timestamp, Unreadable, Wall,
};

/// The time between the returns of two clients that were told to reconnect, in milliseconds.
const RETURN_STEP_MS: usize = 2;
/// The time over which these returns are spread at most, in milliseconds.
const RETURN_SPREAD_MS: u64 = 8_000;
/// The delay before a room is woken again whose timer does not advance.
const STUCK: Duration = Duration::from_secs(1);

/// The rooms of one shard, as one deterministic state machine.
///
/// It has no clock, socket or thread. Its driver passes the time with each call, and calls [`Self::handle_timeout`]
/// when [`Self::poll_timeout`] says so.
pub struct Shard {
    env: Environment,
    rooms: HashMap<RoomId, LiveRoom>,
    /// Ended rooms whose names must not be reused yet.
    resting: HashMap<RoomId, Rest>,
    wakeups: Wakeups,
    draining: bool,
    /// Distinguishes the secrets of this process from those of others.
    run: u64,
}

/// The longest time between the look-up of a meeting and the join that follows.
const LOOK_UP: Duration = Duration::from_secs(10);

/// A period in which an ended room is not made again.
#[derive(Clone, Copy, Debug)]
struct Rest {
    since: Timestamp,
    until: Timestamp,
}

impl Shard {
    /// A shard that serves the rooms of these records.
    pub fn new(mut env: Environment, now: Timestamp, records: Vec<RoomRecord>) -> Self {
        let mut run = [0; 8];
        env.entropy.fill(&mut run);
        let mut shard = Self {
            env,
            rooms: HashMap::new(),
            resting: HashMap::new(),
            wakeups: Wakeups::default(),
            draining: false,
            run: u64::from_ne_bytes(run),
        };
        for record in records {
            shard.restore(now, &record);
        }
        shard
    }

    /// The offset of the wall clock from the ticks.
    pub fn wall(&self) -> Wall {
        self.env.wall
    }

    /// Sets the offset of the wall clock from the ticks.
    pub fn set_wall(&mut self, wall: Wall) {
        self.env.wall = wall;
    }

    fn restore(&mut self, now: Timestamp, record: &RoomRecord) {
        if let Some(ended_at) = record.ended_at {
            // A clock that was or is wrong may place the end in the future, which must not prolong the rest.
            let rest = self.env.rules.limits.name_rest;
            let left = (ended_at + rest).since(self.env.wall.at(now)).min(rest);
            if left.is_zero() {
                self.env.store.forget(&record.room);
            } else {
                self.resting.insert(record.room.clone(), Rest { since: now, until: now + left });
                self.schedule(&record.room);
            }
            return;
        }
        let room = Room::new(record, now, Arc::clone(&self.env.rules));
        self.rooms.insert(record.room.clone(), LiveRoom::new(room, now, &mut self.env, self.run));
        self.schedule(&record.room);
    }

    /// Whether the session exists.
    pub fn knows(&self, seat: &Seat) -> bool {
        self.session(seat).is_some()
    }

    /// Whether the session exists and is past the lobby.
    pub fn is_joined(&self, seat: &Seat) -> bool {
        self.session(seat).is_some_and(|session| !session.waiting)
    }

    fn session(&self, seat: &Seat) -> Option<&Session> {
        let session = self.rooms.get(&seat.room)?.session(seat.peer);
        session.filter(|session| session.id == seat.session)
    }

    /// Handles a message of a peer, sent over a connection or by HTTP. Answers go to the session's connection.
    pub fn receive(
        &mut self,
        now: Timestamp,
        seat: &Seat,
        connection: Option<ConnectionId>,
        message: Result<Envelope, Unreadable>,
        request: Option<RequestId>,
    ) {
        let Some(live) = self.rooms.get_mut(&seat.room) else { return };
        if live.session(seat.peer).is_some_and(|session| session.id == seat.session) {
            live.receive(now, &mut self.env, seat.peer, connection, message, request);
            // Most messages neither end the room nor change its next timeout.
            if live.room().ended().is_some() || live.poll_timeout() != live.wakes_at {
                self.after(now, &seat.room);
            }
        }
    }

    /// A connection that answered [`Offer::Full`](crate::Offer::Full) can take frames again.
    pub fn writable(&mut self, now: Timestamp, seat: &Seat, connection: ConnectionId) {
        if let Some(live) = self.rooms.get_mut(&seat.room) {
            live.writable(now, &self.env, seat.peer, connection);
            self.after(now, &seat.room);
        }
    }

    /// A connection is lost. Its session lives on for the resume window.
    pub fn detach(&mut self, now: Timestamp, seat: &Seat, connection: ConnectionId) {
        if let Some(live) = self.rooms.get_mut(&seat.room) {
            live.detach(now, &self.env, seat.peer, connection);
            self.after(now, &seat.room);
        }
    }

    /// The media plane reports an event.
    pub fn media(&mut self, now: Timestamp, room: &RoomId, event: MediaEvent) {
        if let Some(live) = self.rooms.get_mut(room) {
            live.media(now, &mut self.env, event);
            self.after(now, room);
        }
    }

    /// The log answers a question about a room.
    pub fn handle_log(&mut self, now: Timestamp, room: &RoomId, attempt: u64, event: LogEvent) {
        if let Some(live) = self.rooms.get_mut(room) {
            live.handle_log(now, &mut self.env, attempt, event);
            self.after(now, room);
        }
    }

    /// Another node says something about a room.
    pub fn handle_peer(&mut self, now: Timestamp, from: NodeId, room: &RoomId, message: PeerMessage) {
        if let Some(live) = self.rooms.get_mut(room) {
            live.handle_peer(now, &mut self.env, from, message);
            self.after(now, room);
        } else if !matches!(message, PeerMessage::NotMine) {
            self.env.send(from, room, PeerMessage::NotMine);
        }
    }

    /// The link to another node is broken.
    pub fn peer_lost(&mut self, now: Timestamp, node: NodeId) {
        let rooms: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for room in rooms {
            if let Some(live) = self.rooms.get_mut(&room) {
                live.peer_lost(now, &self.env, node);
            }
            self.after(now, &room);
        }
    }

    /// Whether this node decides for a room.
    pub fn owns(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(LiveRoom::is_owner)
    }

    /// The STUN and TURN servers for a peer in a room.
    pub fn ice_servers(&self, now: Timestamp, seat: &Seat, reached_at: Option<&str>) -> Option<IceServers> {
        let env = &self.env;
        self.is_joined(seat).then(|| env.ice.ice_servers(env.wall.at(now), &seat.room, seat.peer, reached_at))
    }

    /// Applies a change of a room's meeting. Returns whether the room exists.
    pub fn arrange(&mut self, now: Timestamp, record: Box<RoomRecord>) -> bool {
        let room = record.room.clone();
        let Some(live) = self.rooms.get_mut(&room) else { return false };
        // A room that has ended does not change.
        let _ = live.input(now, &mut self.env, RoomInput::Arrange(record));
        self.after(now, &room);
        true
    }

    /// Starts or stops the recording of a room; if `life` is given, only of that life.
    pub fn record(
        &mut self,
        now: Timestamp,
        room: &RoomId,
        life: Option<LifeId>,
        on: bool,
    ) -> Result<(), Refusal> {
        let at_present = self
            .rooms
            .get_mut(room)
            .filter(|at_present| life.is_none_or(|life| at_present.room().life() == life));
        let at_present = at_present.ok_or_else(missing)?;
        at_present.input(now, &mut self.env, RoomInput::Record(on))?;
        self.after(now, room);
        Ok(())
    }

    /// Performs a host's action for a caller that is not a peer of the room, such as an application with an API key.
    pub fn host(&mut self, now: Timestamp, room: &RoomId, host: &Host) -> Result<(), Refusal> {
        let live = self.rooms.get_mut(room).ok_or_else(missing)?;
        live.input(now, &mut self.env, RoomInput::Host(host))?;
        self.after(now, room);
        Ok(())
    }

    /// Sends a line of captions to a room.
    pub fn caption(&mut self, now: Timestamp, room: &RoomId, caption: &Caption) -> Result<(), Refusal> {
        let live = self.rooms.get_mut(room).ok_or_else(missing)?;
        live.caption(now, &mut self.env, caption)?;
        self.after(now, room);
        Ok(())
    }

    /// Sends a chat message to everybody in a room, from a program that is not in it.
    pub fn announce(
        &mut self,
        now: Timestamp,
        room: &RoomId,
        announcement: &Announcement,
    ) -> Result<(), Refusal> {
        let live = self.rooms.get_mut(room).ok_or_else(missing)?;
        live.input(now, &mut self.env, RoomInput::Announce(announcement))?;
        self.after(now, room);
        Ok(())
    }

    /// Ends a room. Returns whether it existed.
    pub fn end_room(&mut self, now: Timestamp, room: &RoomId, reason: EndReason) -> bool {
        let Some(live) = self.rooms.get_mut(room) else { return false };
        let _ = live.input(now, &mut self.env, RoomInput::End(reason));
        self.after(now, room);
        true
    }

    /// Tells every client that the server is going away, and makes no more rooms. Clients are told to reconnect after
    /// this many milliseconds or somewhat later, each at another time, so that the next process is not asked by all at
    /// once.
    pub fn go_away(&mut self, now: Timestamp, reconnect_after_ms: u64) {
        self.draining = true;
        let later = (0..RETURN_SPREAD_MS).step_by(RETURN_STEP_MS).cycle();
        let mut delays = later.map(|later| reconnect_after_ms.saturating_add(later));
        for live in self.rooms.values_mut() {
            live.go_away(now, &self.env, &mut delays);
        }
    }

    /// Handles the due timeouts, once for each room.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for room in self.wakeups.take_due(now) {
            if let Some(live) = self.rooms.get_mut(&room) {
                live.handle_timeout(now, &mut self.env);
            }
            self.after(now, &room);
            // A room whose timer does not advance must not delay the others.
            let again = self.wakeups.of(&room);
            debug_assert!(again.is_none_or(|at| at > now), "what is due is done: {room}");
            if again.is_some_and(|at| at <= now) {
                self.wakeups.set(&room, Some(now + STUCK));
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.wakeups.next()
    }

    /// Removes the room if it has ended, and schedules its next timeout.
    fn after(&mut self, now: Timestamp, room: &RoomId) {
        if self.rooms.get(room).is_some_and(|live| live.is_given_up) {
            self.rooms.remove(room);
        }
        if let Some(live) = self.rooms.get(room)
            && let Some(reason) = live.room().ended()
        {
            let span = if !room.is_made_by(&self.env.rules.key) {
                Some(self.env.rules.limits.name_rest)
            } else if live.room().is_meeting() && reason == EndReason::HostEnded {
                Some(LOOK_UP)
            } else {
                None
            };
            self.rooms.remove(room);
            if let Some(span) = span {
                self.resting.insert(room.clone(), Rest { since: now, until: now + span });
            }
        }
        if self.resting.get(room).is_some_and(|rest| rest.until <= now) {
            self.resting.remove(room);
            self.env.store.forget(room);
        }
        if let Some(live) = self.rooms.get_mut(room) {
            live.tidy();
        }
        self.schedule(room);
    }

    fn schedule(&mut self, room: &RoomId) {
        let due = match self.rooms.get_mut(room) {
            Some(live) => {
                live.wakes_at = live.poll_timeout();
                live.wakes_at
            }
            None => self.resting.get(room).map(|rest| rest.until),
        };
        self.wakeups.set(room, due);
    }
}

/// The refusal of a request about a room that this node does not have.
fn missing() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such room at present")
}
