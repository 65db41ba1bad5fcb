//! Access to recordings.

use http::HeaderMap;
use http_api::{ApiKeys, Scope, bearer};
use signaling_core::{Code, HostClaims, LifeId, Refusal, RoomId, ServerKey};

/// The access granted by a bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything: API keys with the scope `recordings`.
    All,
    /// The recordings of one life of one room: its host tokens, also after its end.
    Room(RoomId, LifeId),
}

impl Reach {
    /// Whether it includes a recording of this room.
    pub(crate) fn covers(&self, room: &RoomId, life: LifeId) -> bool {
        match self {
            Self::All => true,
            Self::Room(own, own_life) => own == room && *own_life == life,
        }
    }
}

/// The access granted by a bearer: an API key or a host token.
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

/// The rooms whose recording a bearer may start and stop: any room for an API key with the scope `recordings` or
/// `rooms`.
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

/// The response to a request without a valid bearer.
fn needed() -> Refusal {
    Refusal::new(Code::Unauthorized, "recordings need a host token or an API key")
}
