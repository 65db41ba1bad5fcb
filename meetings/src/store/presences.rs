//! The presence of participants as reported to webhooks: each reported arrival gets a reported departure.

use signaling_core::PeerId;
use signaling_core::meeting::Presence;

/// The participants to look up when a meeting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// One participant, if present.
    One(PeerId),
    /// All participants.
    All,
}

/// Changes of presence.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Presences {
    /// They are present from now on.
    pub(crate) came: Vec<Presence>,
    /// They are no longer present.
    pub(crate) went: Vec<PeerId>,
}

/// The participants present, within a transaction.
macro_rules! present {
    ($tx:expr, $meeting:expr, $whom:expr) => {{
        let one = match $whom {
            $crate::store::presences::Present::One(peer) => Some(peer),
            $crate::store::presences::Present::All => None,
        };
        let query = match one {
            Some(_) => "SELECT document FROM presences WHERE meeting = $1 AND peer = $2",
            None => "SELECT document FROM presences WHERE meeting = $1 AND peer >= $2 ORDER BY peer",
        };
        let peer = one.map(|peer| peer.to_string()).unwrap_or_default();
        let documents: Vec<String> =
            sqlx::query_scalar(query).bind($meeting.as_str()).bind(peer).fetch_all(&mut *$tx).await?;
        documents.iter().map(|document| serde_json::from_str(document)).collect::<Result<Vec<_>, _>>()?
    }};
}
pub(super) use present;

/// Records arrivals and departures within a transaction.
macro_rules! keep_presences {
    ($tx:expr, $meeting:expr, $presences:expr) => {
        for who in &$presences.came {
            sqlx::query(
                "INSERT INTO presences (meeting, peer, document) VALUES ($1, $2, $3) \
                 ON CONFLICT (meeting, peer) DO NOTHING",
            )
            .bind($meeting.as_str())
            .bind(who.peer.as_str())
            .bind(serde_json::to_string(who)?)
            .execute(&mut *$tx)
            .await?;
        }
        for peer in &$presences.went {
            sqlx::query("DELETE FROM presences WHERE meeting = $1 AND peer = $2")
                .bind($meeting.as_str())
                .bind(peer.as_str())
                .execute(&mut *$tx)
                .await?;
        }
    };
}
pub(super) use keep_presences;
