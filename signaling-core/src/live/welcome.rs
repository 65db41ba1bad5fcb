//! How a session begins: its cursor, the chat from before it, and its welcome.

use std::sync::Arc;
use std::time::Duration;

use super::audience::Audience;
use crate::message::{IceServers, PeerView, Reply, Welcome, WelcomeState};
use crate::room::{Member, Power};
use crate::{Code, Environment, Frame, HostClaims, PeerId, Refusal, SessionClaims, Timestamp};

impl Audience {
    /// Starts a session's cursor at the newest entry, and queues the chat history before it.
    pub(super) fn begin(&mut self, now: Timestamp, peer: PeerId) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.begin_at(&self.log, self.room.last_id());
        if !session.waiting {
            self.queue_chat(now, peer, 0);
        }
    }

    /// Queues the kept chat with ids above `cursor`.
    pub(super) fn queue_chat(&mut self, now: Timestamp, peer: PeerId, cursor: u64) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        for (id, frame) in self.history.after(cursor, peer) {
            session.queue_history(id, now, Arc::clone(frame));
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
            resumes: session.resumes,
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
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
