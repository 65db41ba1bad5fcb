//! Who may see which recordings.

use http::HeaderMap;
use http_api::bearer;
use signaling_core::{ApiKeys, Code, HostClaims, LifeId, Refusal, RoomId, Scope, ServerKey};

/// What a bearer opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything: API keys with the scope `recordings`.
    All,
    /// What was recorded in one life of one room: its host tokens, also after its end.
    Room(RoomId, LifeId),
}

impl Reach {
    /// Whether a recording of this room is within it.
    pub(crate) fn covers(&self, room: &RoomId, life: LifeId) -> bool {
        match self {
            Self::All => true,
            Self::Room(own, own_life) => own == room && *own_life == life,
        }
    }
}

/// What a bearer opens: an API key or a host token.
pub(crate) async fn reach(
    key: &ServerKey,
    keys: &dyn ApiKeys,
    headers: &HeaderMap,
) -> Result<Reach, Refusal> {
    let bearer = bearer(headers).ok_or_else(needed)?;
    if keys.is_key(bearer) {
        keys.check(bearer, Scope::Recordings).await?;
        return Ok(Reach::All);
    }
    HostClaims::open(key, bearer).map(|claims| Reach::Room(claims.room, claims.life)).ok_or_else(needed)
}

/// Whose recording may be begun and ended: that of any room for an API key with the scope `recordings` or `rooms`.
pub(crate) async fn control(
    key: &ServerKey,
    keys: &dyn ApiKeys,
    headers: &HeaderMap,
) -> Result<Reach, Refusal> {
    if let Some(bearer) = bearer(headers)
        && keys.is_key(bearer)
        && keys.check(bearer, Scope::Rooms).await.is_ok()
    {
        return Ok(Reach::All);
    }
    reach(key, keys, headers).await
}

/// What a request without a good bearer is told.
fn needed() -> Refusal {
    Refusal::new(Code::Unauthorized, "recordings need a host token or an API key")
}
