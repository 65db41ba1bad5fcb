//! Meetings in the database, with the messages about their changes.

use http_api::Repeatable;
use signaling_core::meeting::{MeetingCode, Presence};
use signaling_core::{MeetingId, RoomId, Timestamp};
use sqlx::{AssertSqlSafe, Row as _};

use super::database::{Store, reading, writing};
use super::deliveries::{Message, enqueue_messages};
use super::error::{StoreError, explain};
use super::letters::{Letter, enqueue_letters};
use super::pool::int;
use super::presences::{Presences, Present, keep_presences, present};
use super::replies::Reply;
use crate::meeting::{Meeting, State, Status};

/// A page of meetings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// In order of creation.
    pub(crate) meetings: Vec<Meeting>,
    /// Ids of those whose documents cannot be read.
    pub(crate) broken: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<MeetingId>,
}

/// Messages about a change, stored together with it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// To webhook receivers.
    pub(crate) messages: Vec<Message>,
    /// By mail.
    pub(crate) letters: Vec<Letter>,
    /// Changes of the presence that receivers know of.
    pub(crate) presences: Presences,
}

/// A filter of meetings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// The owner; `None` for any.
    pub(crate) owner: Option<String>,
    /// The state.
    pub(crate) state: Option<State>,
    /// Present occurrences that begin then or later.
    pub(crate) from: Option<Timestamp>,
    /// Present occurrences that begin earlier.
    pub(crate) to: Option<Timestamp>,
}

impl Filter {
    /// The filter as an SQL condition, with the owner as `$4`. It contains no text from outside.
    fn condition(&self, now: Timestamp) -> String {
        let at = |at: Timestamp| int(at.as_millis());
        let now = at(now);
        let state = self.state.map(|state| match state {
            State::Scheduled => format!("status IN ('planned', 'live') AND starts_at > {now}"),
            State::Open => format!("status IN ('planned', 'live') AND starts_at <= {now}"),
            State::Ended => format!("status = '{}'", Status::Ended.as_str()),
            State::Cancelled => format!("status = '{}'", Status::Cancelled.as_str()),
            State::Expired => format!("status = '{}'", Status::Expired.as_str()),
        });
        let all = [
            self.owner.is_some().then(|| "owner = $4".to_owned()),
            state,
            self.from.map(|from| format!("starts_at >= {}", at(from))),
            self.to.map(|to| format!("starts_at < {}", at(to))),
        ];
        all.into_iter().flatten().fold(String::new(), |all, one| format!("{all} AND {one}"))
    }
}

/// Writes the ways in of a meeting's attendees, within a transaction.
macro_rules! keep_invitations {
    ($tx:expr, $meeting:expr) => {
        sqlx::query("DELETE FROM invitations WHERE meeting = $1")
            .bind($meeting.id.as_str())
            .execute(&mut *$tx)
            .await?;
        for invitation in &$meeting.invitations {
            sqlx::query("INSERT INTO invitations (code, id, meeting) VALUES ($1, $2, $3)")
                .bind(invitation.code.0.to_string())
                .bind(invitation.id.as_str())
                .bind($meeting.id.as_str())
                .execute(&mut *$tx)
                .await?;
        }
    };
}

/// Writes messages to the outboxes, within a transaction.
macro_rules! enqueue {
    ($tx:expr, $outgoing:expr) => {
        enqueue_letters!($tx, &$outgoing.letters);
        enqueue_messages!($tx, &$outgoing.messages);
    };
}

/// Parses a meeting's document.
fn read(meeting: &str, document: Result<String, sqlx::Error>) -> Result<Meeting, StoreError> {
    let broken = |why: String| StoreError::Broken { meeting: meeting.to_owned(), why };
    serde_json::from_str(&document.map_err(|error| broken(error.to_string()))?)
        .map_err(|error| broken(error.to_string()))
}

impl Store {
    /// Stores a new meeting and its messages. With an idempotency key, also stores the reply for repetition; if the key
    /// was used before, nothing is stored, and the earlier reply is returned.
    pub(crate) async fn create(
        &self,
        meeting: &Meeting,
        outgoing: &Outgoing,
        request: Option<&Repeatable>,
        reply: &Reply,
    ) -> Result<Option<Reply>, StoreError> {
        let document = serde_json::to_string(meeting)?;
        let is_new = writing!(self, |pool, begin| {
            let mut tx = pool.begin_with(begin).await?;
            if let Some(request) = request {
                let kept = sqlx::query(
                    "INSERT INTO replies (owner, idempotency_key, request, body, etag, created_at, meeting) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (owner, idempotency_key) DO NOTHING",
                )
                .bind(&request.owner)
                .bind(&request.key)
                .bind(&request.digest)
                .bind(&reply.body)
                .bind(&reply.etag)
                .bind(int(meeting.created_at.as_millis()))
                .bind(meeting.id.as_str())
                .execute(&mut *tx)
                .await?;
                if kept.rows_affected() == 0 {
                    tx.rollback().await?;
                    return Ok(false);
                }
            }
            sqlx::query(
                "INSERT INTO meetings (id, owner, code, room, live, due_at, created_at, version, document, status, \
                 starts_at) VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, $10)",
            )
            .bind(meeting.id.as_str())
            .bind(meeting.owner.as_deref())
            .bind(meeting.code.0.to_string())
            .bind(meeting.room.as_str())
            .bind(meeting.due_at().map(|at| int(at.as_millis())))
            .bind(int(meeting.created_at.as_millis()))
            .bind(int(meeting.version))
            .bind(&document)
            .bind(meeting.status.as_str())
            .bind(int(meeting.starts_at.as_millis()))
            .execute(&mut *tx)
            .await?;
            keep_invitations!(tx, meeting);
            enqueue!(tx, outgoing);
            tx.commit().await?;
            Ok(true)
        })?;
        match request {
            Some(request) if !is_new => self.replied(request).await,
            _ => Ok(None),
        }
    }

    /// The meeting of this id.
    pub async fn meeting(&self, id: MeetingId) -> Result<Option<Meeting>, StoreError> {
        self.one("SELECT document FROM meetings WHERE id = $1", id.as_str()).await
    }

    /// The meeting of this id, or of the invitation with this id.
    pub async fn invited(&self, id: MeetingId) -> Result<Option<Meeting>, StoreError> {
        let query = "SELECT document FROM meetings WHERE id = $1 UNION ALL SELECT meetings.document FROM meetings \
                     JOIN invitations ON invitations.meeting = meetings.id WHERE invitations.id = $1 LIMIT 1";
        self.one(query, id.as_str()).await
    }

    /// The meeting of this code: its own, or that of an invited address.
    pub async fn by_code(&self, code: MeetingCode) -> Result<Option<Meeting>, StoreError> {
        let query = "SELECT document FROM meetings WHERE code = $1 UNION ALL SELECT meetings.document FROM meetings \
                     JOIN invitations ON invitations.meeting = meetings.id WHERE invitations.code = $1 LIMIT 1";
        self.one(query, &code.to_string()).await
    }

    /// The meeting of this room.
    pub async fn by_room(&self, room: &RoomId) -> Result<Option<Meeting>, StoreError> {
        self.one("SELECT document FROM meetings WHERE room = $1", room.as_str()).await
    }

    async fn one(&self, query: &'static str, value: &str) -> Result<Option<Meeting>, StoreError> {
        let document = reading!(self, |pool| {
            let row = sqlx::query(query).bind(value).fetch_optional(pool).await?;
            Ok(row.map(|row| row.try_get(0)))
        })?;
        document.map(|document| read(value, document)).transpose()
    }

    /// A page of the meetings that match a filter.
    pub(crate) async fn page(
        &self,
        filter: &Filter,
        now: Timestamp,
        after: Option<MeetingId>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let last = match after {
            Some(id) => match self.made_at(id).await? {
                Some(made_at) => (made_at, id.to_string()),
                None => return Ok(Page::default()),
            },
            None => (-1, String::new()),
        };
        let query = format!(
            "SELECT id, document FROM meetings WHERE (created_at, id) > ($1, $2){} ORDER BY created_at, id LIMIT $3",
            filter.condition(now)
        );
        let documents: Vec<(String, Result<String, sqlx::Error>)> = reading!(self, |pool| {
            let asked =
                sqlx::query(AssertSqlSafe(query)).bind(last.0).bind(last.1).bind(i64::from(limit) + 1);
            let rows = match &filter.owner {
                Some(owner) => asked.bind(owner).fetch_all(pool).await?,
                None => asked.fetch_all(pool).await?,
            };
            Ok(rows.iter().map(|row| (row.get(0), row.try_get(1))).collect())
        })?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = documents.len() > limit;
        let mut page = Page::default();
        for (id, document) in documents.into_iter().take(limit) {
            page.next = id.parse().ok();
            match read(&id, document) {
                Ok(meeting) => page.meetings.push(meeting),
                Err(error) => {
                    tracing::error!(error = explain(&error), "a meeting is broken");
                    page.broken.push(id);
                }
            }
        }
        page.next.take_if(|_| !has_more);
        Ok(page)
    }

    /// When a meeting was created.
    async fn made_at(&self, id: MeetingId) -> Result<Option<i64>, StoreError> {
        reading!(self, |pool| {
            let query = sqlx::query_scalar("SELECT created_at FROM meetings WHERE id = $1");
            Ok(query.bind(id.as_str()).fetch_optional(pool).await?)
        })
    }

    /// The owner and the room of a meeting, as far as they are stored outside its document.
    pub(crate) async fn place_of(
        &self,
        id: MeetingId,
    ) -> Result<Option<(Option<String>, String)>, StoreError> {
        reading!(self, |pool| {
            let row = sqlx::query("SELECT owner, room FROM meetings WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(pool)
                .await?;
            Ok(row.map(|row| (row.get(0), row.get(1))))
        })
    }

    /// Excludes a meeting that cannot be read from later checks.
    pub(crate) async fn set_aside(&self, id: MeetingId) -> Result<(), StoreError> {
        writing!(self, |pool, begin| {
            sqlx::query("UPDATE meetings SET live = 0, due_at = NULL WHERE id = $1")
                .bind(id.as_str())
                .execute(pool)
                .await
                .map(drop)?;
            Ok(())
        })
    }

    /// Applies `change` to a meeting, and stores the resulting messages; `None` if there is no meeting of this id. A
    /// change that alters nothing leaves the version as it is, and so does the arrival of the first participant, since
    /// it does not invalidate what a client that read the meeting earlier wants to change.
    pub(crate) async fn update<T>(
        &self,
        id: MeetingId,
        now: Timestamp,
        whom: Present,
        change: impl FnOnce(&mut Meeting, Vec<Presence>) -> Result<(T, Outgoing), StoreError>,
    ) -> Result<Option<(Meeting, T)>, StoreError> {
        let query = if self.locks_rows() {
            "SELECT document FROM meetings WHERE id = $1 FOR UPDATE"
        } else {
            "SELECT document FROM meetings WHERE id = $1"
        };
        writing!(self, |pool, begin| {
            let mut tx = pool.begin_with(begin).await?;
            let row = sqlx::query(query).bind(id.as_str()).fetch_optional(&mut *tx).await?;
            let Some(row) = row else { return Ok(None) };
            let before = read(id.as_str(), row.try_get(0))?;
            let mut meeting = before.clone();
            let present: Vec<Presence> = present!(tx, id, whom);
            let (result, outgoing) = change(&mut meeting, present)?;
            if meeting != before {
                let has_begun = (before.status, meeting.status) == (Status::Planned, Status::Live);
                let without = Meeting { status: before.status, ..meeting.clone() };
                if !has_begun || without != before {
                    meeting.version += 1;
                    meeting.updated_at = now;
                }
                sqlx::query(
                    "UPDATE meetings SET live = $2, due_at = $3, version = $4, document = $5, status = $6, \
                     starts_at = $7, over_at = $8, server = CASE WHEN $9 THEN $10 ELSE server END WHERE id = $1",
                )
                .bind(id.as_str())
                .bind(i64::from(meeting.status == Status::Live))
                .bind(meeting.due_at().map(|at| int(at.as_millis())))
                .bind(int(meeting.version))
                .bind(serde_json::to_string(&meeting)?)
                .bind(meeting.status.as_str())
                .bind(int(meeting.starts_at.as_millis()))
                .bind(meeting.over_at().map(|at| int(at.as_millis())))
                .bind(meeting.status == Status::Live && before.status != Status::Live)
                .bind(&self.server)
                .execute(&mut *tx)
                .await?;
            }
            if meeting.invitations != before.invitations {
                keep_invitations!(tx, meeting);
            }
            keep_presences!(tx, id, outgoing.presences);
            enqueue!(tx, outgoing);
            tx.commit().await?;
            Ok(Some((meeting, result)))
        })
    }

    /// Meetings with scheduled work that is due.
    pub(crate) async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<MeetingId>, StoreError> {
        let query = "SELECT id FROM meetings WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
        reading!(self, |pool| {
            let rows =
                sqlx::query(query).bind(int(now.as_millis())).bind(i64::from(limit)).fetch_all(pool).await?;
            Ok(rows.iter().filter_map(|row| row.get::<String, _>(0).parse().ok()).collect())
        })
    }

    /// Meetings that take place on this server, as far as is known, with their rooms.
    pub(crate) async fn live(&self) -> Result<Vec<(MeetingId, RoomId)>, StoreError> {
        reading!(self, |pool| {
            let query = "SELECT id, room FROM meetings WHERE live = 1 AND (server IS NULL OR server = $1)";
            let rows = sqlx::query(query).bind(&self.server).fetch_all(pool).await?;
            let pair = |(id, room): (String, String)| Some((id.parse().ok()?, room.parse().ok()?));
            Ok(rows.iter().filter_map(|row| pair((row.get(0), row.get(1)))).collect())
        })
    }
}
