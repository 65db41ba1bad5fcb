//! Entry to a room: joining it, and resuming a session.

use std::sync::Arc;
use std::time::Duration;

use rate_limit::Rate;

use super::authority::{Authority, elsewhere};
use super::{LiveRoom, Role, TOO_MANY};
use crate::message::Name;
use crate::room::{Admission, Arrival, Pass, Power, RoomInput};
use crate::session::{NewConnection, Session};
use crate::{
    CloseReason, Code, Environment, Frame, OwnershipRule, PeerMessage, Refusal, RequestId, SessionClaims,
    Timestamp,
};

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
        if self.authority().is_none_or(Authority::is_full) {
            return Err(elsewhere());
        }
        self.check_guesses(now, env, &admission)?;
        let guessed = admission.password.is_some();
        let awaited_host = self.audience.room.awaits_first_host();
        let effects = self.decided().decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy);
        if guessed && effects.as_ref().is_err_and(|refusal| refusal.code == Code::WrongPassword) {
            let _ = self.authority_mut().map(|authority| authority.guesses.take(now, guess_rate(env), 1));
        }
        let effects = effects?;
        let make = if media_only { Session::media_only } else { Session::new };
        let mut session = make(session, peer, now, &env.rules.limits);
        session.reached_at = reached_at.map(Into::into);
        self.audience.sessions.insert(peer, Box::new(session));
        self.commit(now, env, effects, None);
        if self.audience.room.member(peer).is_none() {
            // The log answers later. Until then there is nobody to welcome.
            return Err(elsewhere());
        }
        self.audience.begin(now, peer);
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
        let Some(authority) = self.authority() else { return Ok(()) };
        let checked = authority.guesses.check(now, guess_rate(env), 1);
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
        self.wanted_at = now;
        self.check_cursor(now, env, last_id)?;
        if self.audience.session_of(claims).is_none() {
            self.find_session(now, env, claims)?;
        }
        if self.audience.room.member(claims.peer).is_none() {
            return Err(elsewhere());
        }
        // The client repeats what it still waits for.
        self.passed.retain(|passed| passed.session != claims.session);
        self.note_return(now, env, claims.peer);
        if let Some(session) = self.audience.sessions.get_mut(&claims.peer) {
            session.note_resumes(claims.resumes);
            session.resumes = session.resumes.saturating_add(1);
        }
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

    /// Refuses to resume where the events after a cursor may come yet, or come from another owner.
    fn check_cursor(&mut self, now: Timestamp, env: &mut Environment, last_id: u64) -> Result<(), Refusal> {
        if matches!(self.role, Role::Seeker(_)) {
            return Err(elsewhere());
        }
        let is_ahead = self.audience.is_shared && last_id > self.audience.room.last_id();
        if is_ahead
            && OwnershipRule::Future.holds()
            && self.authority().is_none_or(|authority| last_id > authority.unfounded)
        {
            self.look_up(now, env, last_id);
            return Err(elsewhere());
        }
        Ok(())
    }

    /// Makes the session of a client that was connected to another node, or to an earlier process.
    fn find_session(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        claims: &SessionClaims,
    ) -> Result<(), Refusal> {
        let member = self.audience.room.member(claims.peer);
        if self.audience.is_shared && member.is_some_and(|member| member.session == claims.session) {
            if let Some(session) = self.audience.host(now, &env.rules.limits, claims.peer) {
                session.reached_at = claims.reached_at.as_deref().map(Into::into);
            }
            return Ok(());
        }
        if let Role::Follower(follower) = &self.role {
            if self.audience.room.has_ended(claims.session) {
                return Err(Refusal::new(Code::SessionUnknown, "the session is over"));
            }
            let returns = PeerMessage::Return(Box::new(claims.clone()));
            env.send(follower.owner.node, self.audience.room.id(), returns);
            return Err(elsewhere());
        }
        self.bring_back(now, env, claims)
    }

    /// Restores the peer of a session that this process does not know.
    pub(super) fn bring_back(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        claims: &SessionClaims,
    ) -> Result<(), Refusal> {
        let unknown = || Refusal::new(Code::SessionUnknown, "the session is over");
        let Some(authority) = self.authority() else { return Err(elsewhere()) };
        let known = claims.issued_by(self.audience.run) >= authority.since.as_millis()
            || authority.returned.contains(&claims.session)
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
        let effects = self.decided().decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy)?;
        if let Some(authority) = self.authority_mut() {
            authority.returned.insert(claims.session);
        }
        let mut session = Session::new(claims.session, claims.peer, now, &env.rules.limits);
        session.sequence = self.audience.sequences.remove(&claims.session).unwrap_or_default();
        session.reached_at = claims.reached_at.as_deref().map(Into::into);
        self.audience.sessions.insert(claims.peer, Box::new(session));
        self.commit(now, env, effects, None);
        self.audience.begin(now, claims.peer);
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
