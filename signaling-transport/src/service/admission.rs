//! Who may enter: the limits on attempts, the room that a client means, and the grant of its join.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http_api::Caller;
use signaling_core::meeting::MeetingCode;
use signaling_core::message::Join;
use signaling_core::{
    Arranged, Code, Grant, HostClaims, Refusal, RoomId, RoomName, Seat, Timestamp, WallClock as _,
};

use super::Signaling;
use crate::driver::turned_away;

impl Signaling {
    /// Counts an attempt to open a session.
    pub(crate) fn pass_gate(&self, caller: &Caller) -> Result<(), Refusal> {
        self.inner.gate.take(self.inner.hub.clock().ticks(), caller.ip)
    }

    /// Counts a client that begins by polling.
    pub(crate) fn pass_poll_gate(&self, caller: &Caller) -> Result<(), Refusal> {
        self.inner.polls.take(self.inner.hub.clock().ticks(), caller.ip)
    }

    /// The join and its grant for the hub, with a code replaced by the room that it stands for.
    pub(crate) async fn admit(&self, caller: &Caller, join: Join) -> Result<(Join, Grant), Refusal> {
        let by_code = MeetingCode::parse(join.room.text()).is_some();
        let named = (!by_code).then(|| join.room.id().clone());
        let admitted = self.look_at(caller, join, by_code).await;
        admitted.inspect_err(|refusal| turned_away(named.as_ref(), refusal))
    }

    async fn look_at(
        &self,
        caller: &Caller,
        mut join: Join,
        by_code: bool,
    ) -> Result<(Join, Grant), Refusal> {
        self.pass_gate(caller)?;
        join.reached_at = caller.reached_at();
        let arranged = self.arranged(caller, &join.room).await?;
        // A code is itself an invitation; an id may have become known in other ways.
        let is_invited = by_code && arranged.is_some();
        if let Some(arranged) = &arranged {
            join.room = arranged.record.room.clone().into();
            join.create = false;
        }
        let grant = self.grant(&join, is_invited).await?;
        Ok((join, Grant { arranged, ..grant }))
    }

    /// Reports that a client has joined whose request had arrived at this time.
    pub(crate) fn joined(&self, seat: &Seat, arrived: Instant) {
        (self.inner.on_join)(seat, arrived);
    }

    /// Observes the outcome of a join. A wrong password counts against its address before the room's own limit, so that
    /// a stranger uses up only its own guesses.
    pub(crate) async fn guessing<T>(
        &self,
        caller: &Caller,
        has_password: bool,
        joining: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        if !has_password {
            return joining.await;
        }
        self.inner.passwords.take(self.inner.hub.clock().ticks(), caller.ip)?;
        let joined = joining.await;
        if joined.as_ref().is_err_and(|refusal| refusal.code == Code::WrongPassword) {
            return joined;
        }
        self.inner.passwords.give_back(caller.ip);
        joined
    }

    /// The room that a code, a name or an id from `ip` means.
    pub async fn room(&self, ip: Option<IpAddr>, text: &str) -> Result<RoomId, Refusal> {
        let inner = &self.inner;
        let id = RoomId::of(text).map_err(|malformed| Refusal::bad_request(malformed.to_string()))?;
        let Some(code) = MeetingCode::parse(text) else { return Ok(id) };
        let is_code = MeetingCode::is_shape(text);
        if !is_code && inner.hub.summary(id.clone()).await?.is_some() {
            return Ok(id);
        }
        match self.count_guess(ip, inner.meetings.room_of_code(code)).await? {
            Some(room) => Ok(room),
            None if is_code => Err(no_such_code()),
            None => Ok(id),
        }
    }

    /// Looks a code up, unless too many were wrong recently.
    async fn count_guess<T>(
        &self,
        ip: Option<IpAddr>,
        look_up: impl Future<Output = Result<Option<T>, Refusal>>,
    ) -> Result<Option<T>, Refusal> {
        let codes = &self.inner.codes;
        codes.take(self.inner.hub.clock().ticks(), ip)?;
        let found = look_up.await;
        if !matches!(found, Ok(None)) {
            codes.give_back(ip);
        }
        found
    }

    /// The room of a meeting, if `name` is the meeting's code or the room's own name.
    async fn arranged(&self, caller: &Caller, name: &RoomName) -> Result<Option<Arranged>, Refusal> {
        let inner = &self.inner;
        let as_of = inner.hub.clock().ticks();
        let arranged = |record| Arranged { record: Arc::new(record), as_of };
        let id = name.id();
        let code = MeetingCode::parse(name.text());
        let is_code = code.is_some() && MeetingCode::is_shape(name.text());
        if code.is_none() && !id.is_made_by(&inner.rules.key) {
            return Ok(None);
        }
        // An open room needs no look-up, so it works even if the store of meetings does not.
        if !is_code && inner.hub.summary(id.clone()).await?.is_some() {
            return Ok(None);
        }
        let Some(code) = code else { return Ok(inner.meetings.by_room(id).await?.map(arranged)) };
        match self.count_guess(caller.ip, inner.meetings.by_code(code)).await? {
            Some(record) => Ok(Some(arranged(record))),
            None if is_code => Err(no_such_code()),
            None => Ok(None),
        }
    }

    /// The grant of a join before its room is asked. Host tokens belong to the room and are valid whatever the
    /// authenticator requires. An invited client needs no token.
    async fn grant(&self, join: &Join, is_invited: bool) -> Result<Grant, Refusal> {
        let now = self.inner.hub.clock().now();
        let host_token =
            join.token.as_deref().and_then(|token| HostClaims::open(&self.inner.rules.key, token));
        if host_token.is_some_and(|claims| claims.room == *join.room.id()) {
            let without = Join { token: None, ..join.clone() };
            let grant = self.inner.authenticator.authenticate(now, &without);
            return Ok(grant.unwrap_or(Grant { hosts_only: true, ..Grant::default() }));
        }
        let join = match self.as_named(now, join).await? {
            Some(room) => &Join { room, ..join.clone() },
            None => join,
        };
        match self.inner.authenticator.authenticate(now, join) {
            Err(refusal) if is_invited && join.token.is_none() && refusal.code == Code::Unauthorized => {
                Ok(Grant::default())
            }
            granted => granted,
        }
    }

    /// The name by which a join's token means the room, if the join names that room by its meeting's code.
    async fn as_named(&self, now: Timestamp, join: &Join) -> Result<Option<RoomName>, Refusal> {
        let token = join.token.as_deref();
        let Some(named) = token.and_then(|token| self.inner.authenticator.names(now, token)) else {
            return Ok(None);
        };
        let Some(code) = MeetingCode::parse(&named) else { return Ok(None) };
        let room = self.inner.meetings.room_of_code(code).await?;
        Ok(RoomName::parse(&named).ok().filter(|_| room.as_ref() == Some(join.room.id())))
    }
}

fn no_such_code() -> Refusal {
    Refusal::new(Code::NotFound, "there is no meeting with this code")
}
