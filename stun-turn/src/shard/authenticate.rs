//! The long-term credential mechanism (RFC 8489, section 9.2.4).

use std::time::Instant;

use super::Shard;
use super::verified::Verified;
use crate::auth::NonceState;
use crate::five_tuple::{FiveTuple, PathId};
use crate::wire::attribute as attr;
use crate::wire::{BadAttribute, Key, MessageBuilder, PasswordAlgorithm, Request};

impl Shard {
    /// Checks who sent `request`. `None` when it has been answered, or is not to be.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        request: &Request<'_>,
    ) -> Option<(Verified, String)> {
        let Some(integrity) = request.integrity else {
            self.challenge(now, tuple, path, request, 401);
            return None;
        };
        let (Some(realm), Some(nonce)) = (request.realm, request.nonce) else {
            self.refuse_stranger(now, tuple, path, request, 400);
            return None;
        };
        if request.username.is_none() && request.userhash.is_none() {
            self.refuse_stranger(now, tuple, path, request, 400);
            return None;
        }
        let Ok(password_algorithm) = password_algorithm(request) else {
            self.refuse_stranger(now, tuple, path, request, 400);
            return None;
        };
        let username = self.username(request);
        let key = username
            .as_deref()
            .filter(|_| realm == self.context.settings.realm.as_bytes())
            .and_then(|username| self.verify(now, tuple, username, password_algorithm, request));
        let (Some(username), Some(key)) = (username, key) else {
            self.counters.wrong_credentials += 1;
            self.challenge(now, tuple, path, request, 401);
            return None;
        };
        // Only now, so that a stale nonce under a wrong password is 401 and not a hint that the password was right.
        let lifetime = u32::try_from(self.context.settings.nonce_lifetime.as_secs()).unwrap_or(u32::MAX);
        if self.nonces.check(nonce, self.second(now), tuple.client, lifetime) == NonceState::Stale {
            self.challenge(now, tuple, path, request, 438);
            return None;
        }
        let verified = Verified {
            key,
            password_algorithm,
            integrity: integrity.algorithm,
            reply_to: request.reply_to(),
            tuple,
            path,
        };
        if request.unknown_count > 0 {
            let mut reply = MessageBuilder::error(verified.reply_to, 420);
            reply.unknown_attributes(request.unknown.get(..request.unknown_count).unwrap_or_default());
            self.respond_with(&verified, reply);
            self.counters.error_responses += 1;
            return None;
        }
        Some((verified, username))
    }

    /// The name in the request, or the one whose hash it is.
    fn username(&self, request: &Request<'_>) -> Option<String> {
        match (request.username, request.userhash) {
            (Some(username), _) => std::str::from_utf8(username).ok().map(str::to_owned),
            (None, Some(hash)) => {
                let settings = &self.context.settings;
                let user = settings.credentials.by_userhash(hash, settings.realm.as_bytes())?;
                Some(user.username.clone())
            }
            (None, None) => None,
        }
    }

    /// The key that `request` was signed with, if it is one of those that would be right.
    fn verify(
        &self,
        now: Instant,
        tuple: FiveTuple,
        username: &str,
        algorithm: PasswordAlgorithm,
        request: &Request<'_>,
    ) -> Option<Key> {
        // The key of an allocation stays good as long as the allocation: credentials that expire in mid-call must not end it.
        let allocation = self.allocation_of(&tuple).and_then(|index| self.allocations.get(index));
        let known = allocation
            .filter(|known| *known.username == *username && known.password_algorithm == algorithm)
            .map(|known| known.key);
        if let Some(key) = known
            && key.verifies(request)
        {
            return Some(key);
        }
        let settings = &self.context.settings;
        let now = self.unix_seconds(now);
        settings
            .credentials
            .keys(algorithm, username, settings.realm.as_bytes(), now)
            .find(|key| key.verifies(request))
    }

    /// 401 or 438, with what the client needs to try again.
    fn challenge(&mut self, now: Instant, tuple: FiveTuple, path: PathId, request: &Request<'_>, code: u16) {
        if !self.may_answer_stranger(now, tuple) {
            return;
        }
        let mut reply = MessageBuilder::error(request.reply_to(), code);
        reply.bytes(attr::REALM, self.context.settings.realm.as_bytes());
        reply.bytes(attr::NONCE, self.nonces.issue(self.second(now), tuple.client).as_bytes());
        reply.bytes(attr::PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFERED);
        self.counters.challenges += 1;
        self.transmit(tuple, path, reply.finish(None));
    }

    fn refuse_stranger(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        path: PathId,
        request: &Request<'_>,
        code: u16,
    ) {
        if self.may_answer_stranger(now, tuple) {
            self.counters.error_responses += 1;
            self.transmit(tuple, path, MessageBuilder::error(request.reply_to(), code).finish(None));
        }
    }

    fn may_answer_stranger(&mut self, now: Instant, tuple: FiveTuple) -> bool {
        let is_allowed = self.rates.as_mut().is_none_or(|rates| rates.take(now, tuple.client.ip()));
        if !is_allowed {
            self.counters.rate_limited += 1;
        }
        is_allowed
    }

    /// Answers a request whose sender is known.
    pub(super) fn respond_with(&mut self, verified: &Verified, reply: MessageBuilder) {
        let message = reply.finish(Some((&verified.key, verified.integrity)));
        self.transmit(verified.tuple, verified.path, message);
    }

    /// Answers with success and nothing else.
    pub(super) fn succeed(&mut self, verified: &Verified, reply: MessageBuilder) {
        self.counters.success_responses += 1;
        self.respond_with(verified, reply);
    }

    /// Answers with an error.
    pub(super) fn refuse(&mut self, verified: &Verified, code: u16) {
        self.counters.error_responses += 1;
        self.respond_with(verified, MessageBuilder::error(verified.reply_to, code));
    }
}

/// MD5 unless the request says otherwise; what it says must be what was offered (RFC 8489, section 9.2.4).
fn password_algorithm(request: &Request<'_>) -> Result<PasswordAlgorithm, BadAttribute> {
    match (request.password_algorithm, request.password_algorithms) {
        (None, None) => Ok(PasswordAlgorithm::Md5),
        (Some(chosen), Some(offered)) if offered == PasswordAlgorithm::OFFERED => {
            PasswordAlgorithm::parse(chosen).ok_or(BadAttribute)
        }
        _ => Err(BadAttribute),
    }
}
