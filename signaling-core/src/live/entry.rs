//! Entry to a room: joining it, and resuming a session.

use std::sync::Arc;
use std::time::Duration;

use rate_limit::Rate;

use super::{LiveRoom, TOO_MANY};
use crate::message::Name;
use crate::room::{Admission, Arrival, Pass, Power, RoomInput};
use crate::session::{NewConnection, Session};
use crate::{CloseReason, Code, Environment, Frame, Refusal, RequestId, SessionClaims, Timestamp};

/// One password guess is restored after this time, for all addresses together.
const GUESS_EVERY: Duration = Duration::from_millis(100);

impl LiveRoom {
    /// Admits a peer. The welcome goes to the connection, if there is one, and to the caller.
    pub(crate) fn join(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        admission: Admission,
        reached_at: Option<&str>,
        connection: Option<(NewConnection, Option<RequestId>)>,
    ) -> Result<Arc<Frame>, Refusal> {
        let (peer, session, media_only) = (admission.peer, admission.session, admission.media.is_some());
        self.check_guesses(now, env, &admission)?;
        let guessed = admission.password.is_some();
        let awaited_host = self.audience.room.awaits_first_host();
        let effects = self.audience.room.decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy);
        if guessed && effects.as_ref().is_err_and(|refusal| refusal.code == Code::WrongPassword) {
            let _ = self.authority.guesses.take(now, guess_rate(env), 1);
        }
        let effects = effects?;
        let make = if media_only { Session::media_only } else { Session::new };
        let mut session = make(session, peer, now, &env.rules.limits);
        session.reached_at = reached_at.map(Into::into);
        self.audience.sessions.insert(peer, session);
        self.commit(now, env, effects, None);
        self.audience.begin(now, env, peer);
        let is_first_host = awaited_host && !self.audience.room.awaits_first_host();
        let welcome = self.audience.welcome(now, env, peer, is_first_host, None)?;
        if let Some(session) = self.audience.sessions.get_mut(&peer)
            && let Some((connection, request)) = connection
        {
            session.connect(now, connection);
            session.answer(Arc::clone(&welcome), request);
        }
        self.tell_who_waits(now, env, peer);
        self.settle(now, env);
        self.audience.deliver_to(now, env, peer);
        self.audience.look_after(now, env, peer);
        Ok(welcome)
    }

    fn check_guesses(
        &mut self,
        now: Timestamp,
        env: &Environment,
        admission: &Admission,
    ) -> Result<(), Refusal> {
        let is_checked =
            self.audience.room.pass(now, admission) == Pass::None && admission.password.is_some();
        if !is_checked {
            return Ok(());
        }
        let checked = self.authority.guesses.check(now, guess_rate(env), 1);
        checked.map_err(|wait| Refusal::rate_limited(wait, TOO_MANY))
    }

    /// Resumes a session. Without a connection, [`Self::attach`] supplies one later.
    pub(crate) fn resume(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        claims: &SessionClaims,
        last_id: u64,
        connection: Option<(NewConnection, Option<RequestId>)>,
    ) -> Result<Arc<Frame>, Refusal> {
        if self.audience.session_of(claims).is_none() {
            self.bring_back(now, env, claims)?;
        }
        self.note_return(now, env, claims.peer);
        let welcome = self.audience.welcome(now, env, claims.peer, false, Some(last_id))?;
        let unknown = || Refusal::new(Code::SessionUnknown, "the session is over");
        let session = self.audience.sessions.get_mut(&claims.peer).ok_or_else(unknown)?;
        if let Some((connection, request)) = connection {
            session.connect(now, connection);
            session.greet(Arc::clone(&welcome), request);
            self.catch_up(now, env, claims.peer, last_id);
        } else {
            // The client no longer uses the former connection; the stream that follows gets the replay.
            session.disconnect(now, Some(CloseReason::Replaced));
            session.expect_stream(last_id);
        }
        self.settle(now, env);
        self.audience.look_after(now, env, claims.peer);
        Ok(welcome)
    }

    /// Restores the peer of a session that this process does not know.
    fn bring_back(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        claims: &SessionClaims,
    ) -> Result<(), Refusal> {
        let unknown = || Refusal::new(Code::SessionUnknown, "the session is over");
        let known = claims.issued_by(self.audience.run) >= self.authority.since.as_millis()
            || self.authority.returned.contains(&claims.session)
            || self.audience.room.has_ended(claims.session);
        if known || self.audience.room.member(claims.peer).is_some() {
            return Err(unknown());
        }
        let sealed = if claims.host { Power::Appointed } else { Power::None };
        let power = self.audience.room.power_of(claims.session).unwrap_or(sealed);
        // Secrets made by older versions lack the join time.
        let joined_at = Timestamp::from_millis(claims.joined_at_ms.max(claims.created_at_ms));
        let admission = Admission {
            at: env.wall.at(now),
            peer: claims.peer,
            session: claims.session,
            name: Name::parse(&claims.name)?,
            role: claims.role,
            metadata: None,
            client: claims.client,
            token: claims.token,
            signed: claims.signed.clone(),
            password: None,
            arrival: Arrival::Returning { power, waiting: claims.waiting, joined_at, order: claims.order },
            media: None,
        };
        let effects =
            self.audience.room.decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy)?;
        self.authority.returned.insert(claims.session);
        let mut session = Session::new(claims.session, claims.peer, now, &env.rules.limits);
        session.sequence = self.audience.sequences.remove(&claims.session).unwrap_or_default();
        session.reached_at = claims.reached_at.as_deref().map(Into::into);
        self.audience.sessions.insert(claims.peer, session);
        self.commit(now, env, effects, None);
        self.audience.begin(now, env, claims.peer);
        if let Some(session) = self.audience.sessions.get_mut(&claims.peer) {
            session.snapshot_due = true;
        }
        Ok(())
    }
}

/// The rate of password attempts for a room, over all addresses together.
fn guess_rate(env: &Environment) -> Rate {
    Rate::every(GUESS_EVERY, env.rules.limits.password_guesses.into())
}
