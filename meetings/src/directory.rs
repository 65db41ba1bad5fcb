//! What rooms and the server's other interfaces ask of meetings: the room behind a code, earlier replies, and API keys.

use async_trait::async_trait;
use http_api::{ApiKeys, MeetingDirectory, Repeatable, Replies, Scope};
use signaling_core::meeting::MeetingCode;
use signaling_core::room::RoomRecord;
use signaling_core::{Code, HostClaims, Refusal, RoomId, sha256_hex};

use crate::access::Principal;
use crate::keys::is_key;
use crate::meeting::Meeting;
use crate::service::Meetings;
use crate::store::{KeyRecord, Reply};

impl Meetings {
    /// The room of a meeting as it is to be opened.
    fn opened(&self, meeting: Option<Meeting>) -> Result<Option<RoomRecord>, Refusal> {
        meeting.map(|meeting| self.present(meeting).room_record()).transpose()
    }

    /// A key that is good for the scope.
    pub(crate) async fn key(&self, bearer: &str, scope: Scope) -> Result<KeyRecord, Refusal> {
        let key = self.any_key(bearer).await?;
        if key.scopes.iter().any(|held| held.includes(scope)) {
            Ok(key)
        } else {
            Err(Refusal::new(Code::Forbidden, format!("the API key lacks the scope `{}`", scope.as_str())))
        }
    }

    /// A key that is in force.
    async fn any_key(&self, bearer: &str) -> Result<KeyRecord, Refusal> {
        let unknown = || Refusal::new(Code::Unauthorized, "the API key is unknown, or was revoked");
        if !is_key(bearer) {
            let is_host_token = HostClaims::open(&self.inner.key, bearer).is_some();
            let what = if is_host_token { "this is a host token" } else { "this is no API key" };
            return Err(Refusal::new(
                Code::Unauthorized,
                format!("{what}; an API key is needed, which begins with `vsk_`"),
            ));
        }
        let store = &self.inner.store;
        let key = store.key(&sha256_hex(bearer.as_bytes())).await?;
        let key = key.filter(|key| key.revoked_at.is_none()).ok_or_else(unknown)?;
        self.inner.limits.take_key(self.ticks(), &key.id)?;
        Ok(key)
    }
}

#[async_trait]
impl MeetingDirectory for Meetings {
    async fn by_code(&self, code: MeetingCode) -> Result<Option<RoomRecord>, Refusal> {
        let store = &self.inner.store;
        self.opened(self.inner.pending_ends.current(|| store.by_code(code)).await?)
    }

    async fn room_of_code(&self, code: MeetingCode) -> Result<Option<RoomId>, Refusal> {
        let store = &self.inner.store;
        Ok(store.by_code(code).await?.map(|meeting| meeting.room))
    }

    async fn by_room(&self, room: &RoomId) -> Result<Option<RoomRecord>, Refusal> {
        let store = &self.inner.store;
        self.opened(self.inner.pending_ends.current(|| store.by_room(room)).await?)
    }
}

#[async_trait]
impl Replies for Meetings {
    async fn former(&self, request: &Repeatable) -> Result<Option<String>, Refusal> {
        let store = &self.inner.store;
        Ok(store.replied(request).await?.map(|reply| reply.body))
    }

    async fn keep(&self, request: &Repeatable, answer: &str) -> Result<Option<String>, Refusal> {
        let reply = Reply { body: answer.to_owned(), etag: String::new() };
        let store = &self.inner.store;
        let former = store.keep_reply(request, &reply, self.now()).await?;
        Ok(former.map(|reply| reply.body))
    }
}

#[async_trait]
impl ApiKeys for Meetings {
    fn is_key(&self, bearer: &str) -> bool {
        is_key(bearer)
    }

    async fn check(&self, bearer: &str, scope: Scope) -> Result<(), Refusal> {
        self.key(bearer, scope).await.map(drop)
    }

    async fn check_room(&self, bearer: &str, room: &RoomId, own: Scope) -> Result<(), Refusal> {
        let key = self.any_key(bearer).await?;
        let has = |scope| key.scopes.iter().any(|held| held.includes(scope));
        if has(Scope::Rooms) || (own == Scope::CaptionsWrite && has(own) && key.customer.is_none()) {
            return Ok(());
        }
        let store = &self.inner.store;
        if has(own)
            && let Some(meeting) = store.by_room(room).await?
            && Principal::Key(key).may_see(&meeting)
        {
            return Ok(());
        }
        Err(Refusal::new(
            Code::Forbidden,
            format!("the API key lacks the scope `rooms`, and `{}` for a meeting in this room", own.as_str()),
        ))
    }
}
