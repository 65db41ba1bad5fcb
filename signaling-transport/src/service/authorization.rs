//! What the bearer of a credential may do: an API key, a host token, a join token, a session's secret or a ticket.

use http_api::Scope;
use signaling_core::message::Resume;
use signaling_core::{
    Code, HostClaims, Refusal, RoomId, SessionClaims, SystemEntropy, TicketClaims, WallClock as _,
};

use super::Signaling;
use crate::tickets;

impl Signaling {
    /// Succeeds if the bearer is an API key with the scope.
    pub(crate) async fn check_key(&self, bearer: Option<&str>, scope: Scope) -> Result<(), Refusal> {
        let missing = || Refusal::new(Code::Unauthorized, "an API key is needed as bearer");
        self.inner.api_keys.check(bearer.ok_or_else(missing)?, scope).await
    }

    /// Succeeds if the bearer is an API key for all rooms, or one whose own meeting takes place in this room.
    pub(crate) async fn check_room_key(
        &self,
        bearer: &str,
        room: &RoomId,
        own: Scope,
    ) -> Result<(), Refusal> {
        self.inner.api_keys.check_room(bearer, room, own).await
    }

    /// Succeeds if a room made by the server exists, or a permitted join would open it.
    pub(crate) async fn check_is_alive(&self, room: &RoomId) -> Result<(), Refusal> {
        let inner = &self.inner;
        let may_be_made = !room.is_made_by(&inner.rules.key);
        if may_be_made
            || inner.hub.summary(room.clone()).await?.is_some()
            || inner.meetings.by_room(room).await?.is_some()
        {
            return Ok(());
        }
        Err(Refusal::new(Code::RoomEnded, "the room is over"))
    }

    /// Whether the bearer is the host token of this life of the room, for a room whose id the server made.
    pub(crate) async fn only_host(&self, bearer: &str, room: &RoomId) -> Result<bool, Refusal> {
        let inner = &self.inner;
        let Some(claims) = HostClaims::open(&inner.rules.key, bearer).filter(|claims| claims.room == *room)
        else {
            return Ok(false);
        };
        if !room.is_made_by(&inner.rules.key) {
            return Ok(false);
        }
        if let Some(summary) = inner.hub.summary(room.clone()).await? {
            return Ok(summary.life == claims.life);
        }
        Ok(inner.meetings.by_room(room).await?.is_some_and(|record| record.life == claims.life))
    }

    /// Whether the bearer is an API key, valid or not.
    pub(crate) fn is_api_key(&self, bearer: &str) -> bool {
        self.inner.api_keys.is_key(bearer)
    }

    /// Whether the bearer may make a room by `POST /api/v1/rooms`.
    pub(crate) fn may_make_room(&self, bearer: Option<&str>) -> Result<(), Refusal> {
        self.inner.authenticator.may_make_room(self.inner.hub.clock().now(), bearer)
    }

    /// Whether the bearer is a join token for the room.
    pub(crate) async fn is_join_token(&self, room: &RoomId, bearer: &str) -> bool {
        let named = self.inner.authenticator.names(self.inner.hub.clock().now(), bearer);
        match named {
            // A code in a validly signed token is no guess.
            Some(named) => self.room(None, &named).await.is_ok_and(|meant| meant == *room),
            None => false,
        }
    }

    /// The claims in a resume's secret.
    pub(crate) fn claims(&self, resume: &Resume) -> Result<SessionClaims, Refusal> {
        self.open_secret(&resume.secret)
            .filter(|claims| claims.session == resume.session)
            .ok_or_else(|| Refusal::new(Code::Unauthorized, "the secret does not open this session"))
    }

    pub(crate) fn open_secret(&self, secret: &str) -> Option<SessionClaims> {
        SessionClaims::open(&self.inner.rules.key, secret)
    }
    /// A ticket for one event stream of a session.
    pub(crate) fn ticket(&self, session: SessionClaims) -> String {
        let expires_at = self.inner.hub.clock().now() + tickets::LIFETIME;
        let claims = TicketClaims::new(session, expires_at.as_millis(), &mut SystemEntropy);
        claims.seal(&self.inner.rules.key, &mut SystemEntropy)
    }

    /// Redeems a ticket, which is then no longer valid.
    pub(crate) fn redeem(&self, ticket: &str) -> Result<SessionClaims, Refusal> {
        let claims = TicketClaims::open(&self.inner.rules.key, ticket);
        let claims = claims.ok_or_else(|| Refusal::new(Code::Unauthorized, "this is no ticket"))?;
        self.inner.tickets.redeem(self.inner.hub.clock().now(), &claims)?;
        Ok(claims.session)
    }
}
