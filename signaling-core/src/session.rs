//! A peer's session with the server, over successive connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rate_limit::{Bucket, Rate};

use crate::log::Log;
use crate::room::Recipients;
use crate::sequence::Sequence;
use crate::{
    CloseReason, ConnectedClient, ConnectionId, Epochs, Frame, Limits, Offer, Outbound, OwnershipRule,
    PeerId, RequestId, SessionId, Timestamp,
};

/// Everything that the server keeps for a peer besides its state in the room.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) peer: PeerId,
    /// A copy of the room's state, so that delivery need not look it up.
    pub(crate) host: bool,
    pub(crate) waiting: bool,
    /// Whether the other peers have been told that it is away.
    pub(crate) away: bool,
    /// How often it was resumed.
    pub(crate) resumes: u32,
    /// The host name or address by which the client reached the server.
    pub(crate) reached_at: Option<Box<str>>,
    connection: Option<Connection>,
    /// Since when it has had no connection; for a WHIP or WHEP session, since when it has had no ICE consent.
    pub(crate) detached_since: Option<Timestamp>,
    /// A WHIP or WHEP session, whose only connection is that of its media.
    media_only: bool,
    stream: EventStream,
    /// The cursor of the last welcome or snapshot.
    pub(crate) start: u64,
    /// Where an event stream begins that names no event itself.
    stream_cursor: u64,
    /// Entries of the room's log up to this one are not for this session.
    since: u64,
    log_position: u64,
    outbox: Log<()>,
    outbox_position: u64,
    /// Answers that the connection has not taken yet. They precede events.
    answers: VecDeque<(Arc<Frame>, Option<RequestId>)>,
    answer_bytes: u64,
    /// How many of them, and how many of their bytes, are from before the last resume.
    superseded: (usize, u64),
    /// The newest fleeting event that has not been taken yet.
    newest: Option<Arc<Frame>>,
    pub(crate) sequence: Sequence,
    /// The room changed for this peer while it had no connection, so it needs a snapshot.
    pub(crate) snapshot_due: bool,
    bucket: Bucket<Timestamp>,
}

/// The most answers that wait for a connection, and their bytes.
const WAITING_REPLIES: usize = 64;
const WAITING_REPLY_BYTES: u64 = 64 << 10;

/// The event stream of a session, which browsers reconnect by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventStream {
    /// The session has joined or resumed, and has not opened a connection since.
    Awaited,
    /// The last connection is an event stream.
    Open {
        /// When the secret that opened it was issued, in ticks.
        issued_at_ms: u64,
    },
    /// Another transport has replaced it, so it must not reconnect.
    Replaced,
    /// The last connection is of another transport, and has replaced no event stream.
    None,
}

struct Connection {
    id: ConnectionId,
    outbound: Box<dyn Outbound>,
    last_heard: Timestamp,
    /// Since when it has taken nothing.
    stalled_since: Option<Timestamp>,
}

/// A new connection of a session.
pub struct NewConnection {
    /// The id, unique among all connections of the server.
    pub id: ConnectionId,
    /// Its outbound half.
    pub outbound: Box<dyn Outbound>,
}

impl Session {
    pub(crate) fn new(id: SessionId, peer: PeerId, now: Timestamp, limits: &Limits) -> Self {
        Self {
            id,
            peer,
            host: false,
            waiting: false,
            away: false,
            resumes: 0,
            reached_at: None,
            connection: None,
            detached_since: Some(now),
            media_only: false,
            stream: EventStream::Awaited,
            start: 0,
            stream_cursor: 0,
            since: 0,
            log_position: 0,
            outbox: Log::new(limits.outbox_bytes, limits.log_age),
            outbox_position: 0,
            answers: VecDeque::new(),
            answer_bytes: 0,
            superseded: (0, 0),
            newest: None,
            sequence: Sequence::default(),
            snapshot_due: false,
            bucket: Bucket::full(now),
        }
    }

    /// A WHIP or WHEP session, which lives by what the media plane reports of its connection.
    pub(crate) fn media_only(id: SessionId, peer: PeerId, now: Timestamp, limits: &Limits) -> Self {
        Self { media_only: true, ..Self::new(id, peer, now, limits) }
    }

    /// Records that the media connection of a media-only session is present, or lost.
    pub(crate) fn note_media(&mut self, now: Timestamp, connected: bool) {
        if self.media_only {
            let lost_since = self.detached_since.unwrap_or(now);
            self.detached_since = (!connected).then_some(lost_since);
            if connected {
                self.stream = EventStream::None;
            }
        }
    }

    /// Starts the session at the room's newest entry; a welcome or a snapshot covers everything older.
    pub(crate) fn begin_at(&mut self, log: &Log<Recipients>, last_id: u64) {
        (self.start, self.since, self.stream_cursor) = (last_id, last_id, last_id);
        self.log_position = log.end();
        self.outbox.start_anew();
        self.outbox_position = self.outbox.end();
        self.newest = None;
    }

    /// Puts an event from before the start into the outbox (earlier chat), and moves the cursor back before it.
    pub(crate) fn queue_history(&mut self, id: u64, now: Timestamp, frame: Arc<Frame>) {
        self.start = self.start.min(id.saturating_sub(1));
        self.stream_cursor = self.start;
        self.outbox.append(id, now, frame, ());
    }

    pub(crate) fn queue_event(&mut self, id: u64, now: Timestamp, frame: Arc<Frame>) {
        self.outbox.append(id, now, frame, ());
    }

    pub(crate) fn expire_outbox(&mut self, now: Timestamp) {
        self.outbox.expire(now);
    }

    /// Up to which id the connection has been given the room's log.
    pub(crate) fn cursor(&self, log: &Log<Recipients>) -> u64 {
        let before = self.log_position.checked_sub(1).and_then(|position| log.at(position));
        before.map_or(log.floor(), |kept| kept.id).max(self.since)
    }

    /// Continues at a cursor of the log that takes the place of the former one.
    pub(crate) fn continue_at(&mut self, log: &Log<Recipients>, cursor: u64) {
        self.log_position = log.after(cursor.max(self.since));
    }

    /// Forgets where the session began, since that never came to be.
    pub(crate) fn forget_start(&mut self) {
        (self.start, self.since, self.stream_cursor) = (0, 0, 0);
        self.outbox.start_anew();
        self.outbox_position = self.outbox.end();
    }

    /// Learns how often the client had resumed. If it was elsewhere since, what was begun here for it has not reached it.
    pub(crate) fn note_resumes(&mut self, resumes: u32) {
        if resumes > self.resumes {
            self.resumes = resumes;
            self.forget_start();
        }
    }

    /// Moves the cursor to `last_id`, or reports that events after it are gone.
    pub(crate) fn seek(&mut self, log: &Log<Recipients>, last_id: u64, epochs: &Epochs) -> Result<(), Gap> {
        let has_been = if last_id < self.since {
            // Chat from before the session has ids of any epoch.
            last_id == self.start || self.outbox.has(last_id) || self.outbox.floor() == last_id
        } else {
            epochs.has(last_id) || !OwnershipRule::Bounds.holds()
        };
        let reachable = last_id >= self.start
            && has_been
            && log.reaches_back_to(last_id.max(self.since))
            && self.outbox.reaches_back_to(last_id);
        if !reachable || self.snapshot_due {
            return Err(Gap);
        }
        self.log_position = log.after(last_id.max(self.since));
        self.outbox_position = self.outbox.after(last_id);
        Ok(())
    }

    pub(crate) fn is_connected_by(&self, connection: ConnectionId) -> bool {
        self.connection.as_ref().is_some_and(|current| current.id == connection)
    }

    /// The present connection.
    pub(crate) fn connection_id(&self) -> Option<ConnectionId> {
        self.connection.as_ref().map(|connection| connection.id)
    }

    /// The client as other nodes have to know it, while it is connected.
    pub(crate) fn connected_client(&self) -> Option<ConnectedClient> {
        let (peer, session, resumes) = (self.peer, self.id, self.resumes);
        Some(ConnectedClient { peer, session, by: self.connection_id()?, resumes })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether an event stream with a secret issued then must not connect: another transport, or the stream of a later
    /// resume, has taken its place.
    pub(crate) fn refuses_stream(&self, issued_at_ms: u64) -> bool {
        let is_former = match self.stream {
            EventStream::Replaced => true,
            EventStream::Open { issued_at_ms: present } => issued_at_ms < present,
            EventStream::Awaited | EventStream::None => false,
        };
        is_former && self.connection.is_some()
    }

    /// Handles a `resume` over HTTP: an event stream will follow, and begins after `last_id`.
    pub(crate) fn expect_stream(&mut self, last_id: u64) {
        self.stream_cursor = last_id;
        self.stream = EventStream::Awaited;
        self.supersede_answers();
    }

    /// Where an event stream begins that names no event itself.
    pub(crate) fn stream_cursor(&self) -> u64 {
        self.stream_cursor
    }

    /// Sets a connection over which the client has joined or resumed.
    pub(crate) fn connect(&mut self, now: Timestamp, new: NewConnection) {
        self.stream = match self.stream {
            EventStream::Open { .. } if self.is_connected() => EventStream::Replaced,
            EventStream::Replaced => EventStream::Replaced,
            _ => EventStream::None,
        };
        self.supersede_answers();
        self.set_connection(now, new);
    }

    /// Answers from before a resume wait on, but take no place of later ones; those from before the one before it have been
    /// settled by its welcome.
    fn supersede_answers(&mut self) {
        let settled = self.superseded.0.min(self.answers.len());
        for (frame, _) in self.answers.drain(..settled) {
            self.answer_bytes -= frame.json.len() as u64;
        }
        self.superseded = (self.answers.len(), self.answer_bytes);
    }

    /// Answers to another connection's requests mean nothing to the next one; the client can ask again by `seq`.
    fn forget_answers(&mut self) {
        self.answers.clear();
        (self.answer_bytes, self.superseded) = (0, (0, 0));
    }

    /// Sets an event stream as the connection, opened with a secret that was issued then.
    pub(crate) fn open_stream(&mut self, now: Timestamp, new: NewConnection, issued_at_ms: u64) {
        self.stream = EventStream::Open { issued_at_ms };
        self.set_connection(now, new);
    }

    /// Sets the connection. A former one is told that it was replaced.
    fn set_connection(&mut self, now: Timestamp, new: NewConnection) {
        if let Some(former) = &mut self.connection {
            former.outbound.close(CloseReason::Replaced);
            self.forget_answers();
        }
        let NewConnection { id, outbound } = new;
        self.detached_since = None;
        self.connection = Some(Connection { id, outbound, last_heard: now, stalled_since: None });
    }

    /// Ends the session's last connection, once it has been handed all that it has not taken yet: the session cannot be
    /// resumed to get it.
    pub(crate) fn finish(
        &mut self,
        now: Timestamp,
        log: &Log<Recipients>,
        limits: &Limits,
        reason: CloseReason,
    ) {
        if let Some(connection) = &mut self.connection {
            connection.outbound.take_all();
        }
        self.deliver(now, log, limits);
        self.disconnect(now, Some(reason));
    }

    pub(crate) fn disconnect(&mut self, now: Timestamp, reason: Option<CloseReason>) {
        if let Some(mut connection) = self.connection.take() {
            if let Some(reason) = reason {
                connection.outbound.close(reason);
            }
            self.detached_since = Some(now);
            self.forget_answers();
        }
    }

    pub(crate) fn heard(&mut self, now: Timestamp) {
        if let Some(connection) = &mut self.connection {
            connection.last_heard = now;
        }
    }

    /// Counts a message, or returns how long to wait for the next.
    pub(crate) fn take_token(&mut self, now: Timestamp, limits: &Limits) -> Result<(), Duration> {
        let rate = Rate::per_second(limits.messages_per_second.into(), limits.message_burst.into());
        self.bucket.take(now, rate, 1)
    }

    /// Sends a frame to the connection. Without a connection it is lost.
    pub(crate) fn answer(&mut self, frame: Arc<Frame>, request: Option<RequestId>) {
        if self.connection.is_some() {
            self.answer_bytes += frame.json.len() as u64;
            self.answers.push_back((frame, request));
        }
    }

    /// Answers a message. Without a connection, a limited number of answers wait for one, so that a client may post
    /// before it listens.
    pub(crate) fn reply(&mut self, frame: Arc<Frame>, request: Option<RequestId>) {
        let (count, bytes) = self.superseded;
        let has_room = self.answers.len() - count.min(self.answers.len()) < WAITING_REPLIES
            && self.answer_bytes.saturating_sub(bytes) + frame.json.len() as u64 <= WAITING_REPLY_BYTES;
        if self.connection.is_some() || has_room {
            self.answer_bytes += frame.json.len() as u64;
            self.answers.push_back((frame, request));
        }
    }

    /// Sends a frame to a new connection ahead of everything that waits for one.
    pub(crate) fn greet(&mut self, frame: Arc<Frame>, request: Option<RequestId>) {
        self.answer_bytes += frame.json.len() as u64;
        self.answers.push_front((frame, request));
    }

    /// Sends a fleeting event, which is kept until the connection takes it or a newer one replaces it.
    pub(crate) fn send_fleeting(&mut self, frame: &Arc<Frame>) {
        if self.connection.is_some() {
            self.newest = Some(Arc::clone(frame));
        }
    }

    /// Hands the connection as many frames as it takes.
    pub(crate) fn deliver(&mut self, now: Timestamp, log: &Log<Recipients>, limits: &Limits) {
        let Some(connection) = &mut self.connection else { return };
        let mut offer = |frame: &Arc<Frame>, request| match connection.outbound.offer(frame, request) {
            Offer::Taken => {
                connection.stalled_since = None;
                true
            }
            Offer::Full => {
                connection.stalled_since.get_or_insert(now);
                false
            }
            Offer::Gone => false,
        };
        while let Some((frame, request)) = self.answers.front() {
            if !offer(frame, *request) {
                return self.cut_if_behind(now, log, limits);
            }
            let bytes = frame.json.len() as u64;
            self.answer_bytes -= bytes;
            self.superseded.0 = self.superseded.0.saturating_sub(1);
            self.superseded.1 = self.superseded.1.saturating_sub(bytes);
            self.answers.pop_front();
        }
        loop {
            let (peer, host, waiting, since) = (self.peer, self.host, self.waiting, self.since);
            let logged = loop {
                match log.at(self.log_position) {
                    Some(kept) if kept.id <= since || !kept.recipients.includes(peer, host, waiting) => {
                        self.log_position += 1;
                    }
                    other => break other,
                }
            };
            let own = self.outbox.at(self.outbox_position);
            let (frame, position) = match (logged, own) {
                (Some(logged), Some(own)) if own.id < logged.id => (&own.frame, &mut self.outbox_position),
                (Some(logged), _) => (&logged.frame, &mut self.log_position),
                (None, Some(own)) => (&own.frame, &mut self.outbox_position),
                (None, None) => break,
            };
            if !offer(frame, None) {
                return self.cut_if_behind(now, log, limits);
            }
            *position += 1;
        }
        if let Some(newest) = self.newest.take()
            && !offer(&newest, None)
        {
            self.newest = Some(newest);
        }
    }

    /// Closes a connection that has fallen too far behind; the events that it missed stay in the log.
    fn cut_if_behind(&mut self, now: Timestamp, log: &Log<Recipients>, limits: &Limits) {
        let behind = self.answer_bytes
            + log.bytes_after(self.log_position)
            + self.outbox.bytes_after(self.outbox_position);
        if behind > limits.lag_bytes {
            self.disconnect(now, Some(CloseReason::SlowReader));
        }
    }

    /// Closes a silent or stalled connection. Returns when to check again, if a connection is left.
    pub(crate) fn check_connection(&mut self, now: Timestamp, limits: &Limits) -> Option<Timestamp> {
        let connection = self.connection.as_ref()?;
        let silent_at = connection.last_heard + limits.heartbeat * 2;
        let stalled_at = connection.stalled_since.map(|since| since + limits.stall);
        if stalled_at.is_some_and(|at| at <= now) {
            self.disconnect(now, Some(CloseReason::SlowReader));
            return None;
        }
        if silent_at <= now {
            self.disconnect(now, Some(CloseReason::Silent));
            return None;
        }
        Some(stalled_at.map_or(silent_at, |at| at.min(silent_at)))
    }

    /// When the other peers must be told that it is away, unless they have been.
    pub(crate) fn away_at(&self, limits: &Limits) -> Option<Timestamp> {
        let is_awaited = self.stream == EventStream::Awaited;
        let patience = if is_awaited { limits.stream_wait } else { limits.absence };
        self.detached_since.filter(|_| !self.away).map(|since| since + patience)
    }

    /// When the session ends, unless it gets a connection.
    pub(crate) fn gone_at(&self, limits: &Limits) -> Option<Timestamp> {
        self.detached_since.map(|since| since + limits.resume_window)
    }

    /// When the connection, or its absence, must be checked next.
    pub(crate) fn next_look(&self, limits: &Limits) -> Option<Timestamp> {
        let gone = self.away_at(limits).or_else(|| self.gone_at(limits));
        gone.or_else(|| self.stalls_at(limits))
    }

    /// When the connection is closed unless it takes something.
    pub(crate) fn stalls_at(&self, limits: &Limits) -> Option<Timestamp> {
        self.connection.as_ref()?.stalled_since.map(|since| since + limits.stall)
    }
}

/// Events between the cursor and the present are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap;
