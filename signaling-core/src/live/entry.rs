//! Entry to a room: joining it, and resuming a session.

use std::sync::Arc;
use std::time::Duration;

use rate_limit::Rate;

use super::{LiveRoom, TOO_MANY};
use crate::message::{IceServers, Name, PeerView, Reply, Welcome, WelcomeState};
use crate::room::{Admission, Arrival, Member, Pass, Power, RoomInput};
use crate::sequence::Sequence;
use crate::session::{NewConnection, Session};
use crate::{
    CloseReason, Code, Environment, Frame, HostClaims, PeerId, Refusal, RequestId, SessionClaims, Timestamp,
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
        self.check_guesses(now, env, &admission)?;
        let guessed = admission.password.is_some();
        let awaited_host = self.room.awaits_first_host();
        let effects = self.room.decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy);
        if guessed && effects.as_ref().is_err_and(|refusal| refusal.code == Code::WrongPassword) {
            let _ = self.guesses.take(now, guess_rate(env), 1);
        }
        let effects = effects?;
        let make = if media_only { Session::media_only } else { Session::new };
        let mut session = make(session, peer, now, &env.rules.limits);
        session.reached_at = reached_at.map(Into::into);
        self.sessions.insert(peer, session);
        self.commit(now, env, effects);
        self.begin(now, peer);
        let is_first_host = awaited_host && !self.room.awaits_first_host();
        let welcome = self.welcome(now, env, peer, is_first_host, None)?;
        if let Some(session) = self.sessions.get_mut(&peer)
            && let Some((connection, request)) = connection
        {
            session.connect(now, connection);
            session.answer(Arc::clone(&welcome), request);
        }
        self.tell_who_waits(now, env, peer);
        self.settle(now, env);
        self.deliver_to(now, env, peer);
        self.look_after(now, env, peer);
        Ok(welcome)
    }

    fn check_guesses(
        &mut self,
        now: Timestamp,
        env: &Environment,
        admission: &Admission,
    ) -> Result<(), Refusal> {
        let is_checked = self.room.pass(now, admission) == Pass::None && admission.password.is_some();
        if !is_checked {
            return Ok(());
        }
        let checked = self.guesses.check(now, guess_rate(env), 1);
        checked.map_err(|wait| Refusal::rate_limited(wait, TOO_MANY))
    }

    /// Starts a session's cursor at the newest entry, and queues the chat history before it.
    pub(super) fn begin(&mut self, now: Timestamp, peer: PeerId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.begin_at(&self.log, self.room.last_id());
        if session.waiting {
            return;
        }
        for (id, frame) in self.history.after(0, peer) {
            session.queue_history(id, now, frame);
        }
    }

    pub(super) fn view_for(&self, peer: PeerId) -> Vec<PeerView> {
        let host = self.room.member(peer).is_some_and(Member::is_host);
        let mut others: Vec<_> =
            self.room.joined().filter(|other| other.id != peer && (host || other.is_listed())).collect();
        others.sort_by_key(|other| other.order);
        others.into_iter().map(Member::view).collect()
    }

    pub(super) fn welcome(
        &mut self,
        now: Timestamp,
        env: &mut Environment,
        peer: PeerId,
        is_first_host: bool,
        resumed: Option<u64>,
    ) -> Result<Arc<Frame>, Refusal> {
        let internal = || Refusal::new(Code::Internal, "the peer is not in its room");
        let member = self.room.member(peer).ok_or_else(internal)?;
        let session = self.sessions.get(&peer).ok_or_else(internal)?;
        let limits = &env.rules.limits;
        let claims = SessionClaims {
            room: self.room.id().clone(),
            room_name: self.room.beyond_id().map(str::to_owned),
            life: self.room.life(),
            created_at_ms: self.room.created_at().as_millis(),
            topology: self.room.choice(),
            session: session.id,
            peer,
            name: member.name.as_str().to_owned(),
            role: member.role,
            host: member.power == Power::Appointed,
            joined_at_ms: member.joined_at.as_millis(),
            order: member.order,
            waiting: !member.is_joined(),
            client: member.client,
            token: member.token,
            signed: member.signed.clone(),
            reached_at: session.reached_at.as_deref().map(str::to_owned),
            run: self.run,
            issued_at_ms: now.as_millis(),
            expires_at_ms: (env.wall.at(now) + limits.secret_lifetime).as_millis(),
        };
        let joined = member.is_joined();
        let host_claims = HostClaims { room: self.room.id().clone(), life: self.room.life() };
        let ice: Option<IceServers> = joined.then(|| {
            env.ice.ice_servers(env.wall.at(now), self.room.id(), peer, session.reached_at.as_deref())
        });
        let welcome = Welcome {
            me: member.view(),
            session: session.id,
            secret: claims.seal(&env.rules.key, &mut *env.entropy),
            state: if joined { WelcomeState::Joined } else { WelcomeState::Waiting },
            room: self.room.view(),
            peers: (joined && resumed.is_none()).then(|| self.view_for(peer)),
            host_token: is_first_host.then(|| host_claims.seal(&env.rules.key, &mut *env.entropy)),
            ice,
            heartbeat_ms: millis(limits.heartbeat),
            resume_window_ms: millis(limits.resume_window),
            last_id: resumed.unwrap_or(session.start),
            resumed: resumed.is_some(),
            last_seq: resumed.map(|_| session.sequence.last()),
            features: Arc::clone(&env.features),
        };
        Ok(Arc::new(env.codec.encode_reply(&Reply::Welcome(Box::new(welcome)))))
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
        if self.session_of(claims).is_none() {
            self.bring_back(now, env, claims)?;
        }
        self.note_return(now, env, claims.peer);
        let welcome = self.welcome(now, env, claims.peer, false, Some(last_id))?;
        let unknown = || Refusal::new(Code::SessionUnknown, "the session is over");
        let session = self.sessions.get_mut(&claims.peer).ok_or_else(unknown)?;
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
        self.look_after(now, env, claims.peer);
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
        let known = claims.issued_by(self.run) >= self.served_since.as_millis()
            || self.returned.contains(&claims.session)
            || self.room.has_ended(claims.session);
        if known || self.room.member(claims.peer).is_some() {
            return Err(unknown());
        }
        let sealed = if claims.host { Power::Appointed } else { Power::None };
        let power = self.room.power_of(claims.session).unwrap_or(sealed);
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
        let effects = self.room.decide(now, RoomInput::Join(Box::new(admission)), &mut *env.entropy)?;
        self.returned.insert(claims.session);
        let mut session = Session::new(claims.session, claims.peer, now, &env.rules.limits);
        if let Some(last) = self.sequences.remove(&claims.session) {
            session.sequence = Sequence::up_to(last);
        }
        session.reached_at = claims.reached_at.as_deref().map(Into::into);
        self.sessions.insert(claims.peer, session);
        self.commit(now, env, effects);
        self.begin(now, claims.peer);
        if let Some(session) = self.sessions.get_mut(&claims.peer) {
            session.snapshot_due = true;
        }
        Ok(())
    }
}

/// The rate of password attempts for a room, over all addresses together.
fn guess_rate(env: &Environment) -> Rate {
    Rate::every(GUESS_EVERY, env.rules.limits.password_guesses.into())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
