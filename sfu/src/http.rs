//! What clients ask over HTTP, through the handle.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use signaling_core::{
    Code, HttpAnswer, HttpMedia, HttpOffer, HttpPatch, HttpReply, HttpSession, Patched, PeerId,
    PeerStatistics, Reach, Refusal, RoomId,
};

use crate::driver::{Handle, Overloaded};
use crate::sdp::{RemoteDescription, SdpError};
use crate::shard::{Input, NegotiationError, Reply};

impl HttpMedia for Handle {
    fn check(&self, room: &RoomId, session: HttpSession, sdp: &str) -> Result<(), Refusal> {
        if self.is_behind(room) {
            return Err(NegotiationError::Overloaded.into());
        }
        check(session, sdp).map_err(|error| NegotiationError::from(error).into())
    }

    fn offer(&self, offer: HttpOffer, reply: HttpReply<HttpAnswer>) {
        self.ask(reply, |reply| Input::Offer { offer, reply });
    }

    fn patch(&self, patch: HttpPatch, reply: HttpReply<Patched>) {
        self.ask(reply, |reply| Input::Patch { patch, reply });
    }

    fn reach(&self, room: RoomId, peer: PeerId, reply: HttpReply<Reach>) {
        self.ask(reply, |reply| Input::Reach { room, peer, reply });
    }

    fn statistics(&self, room: RoomId, reply: HttpReply<Vec<PeerStatistics>>) {
        let gathered = Arc::new(Mutex::new(Gathered { peers: Vec::new(), reply: Some(reply) }));
        self.send_to_all(|| {
            let gathered = Arc::clone(&gathered);
            Input::Statistics {
                room: room.clone(),
                reply: Box::new(move |part| {
                    gathered.lock().unwrap_or_else(PoisonError::into_inner).add(part.unwrap_or_default());
                }),
            }
        });
    }
}

/// The statistics of a room from several shards. It answers once each shard has told its part, or can no longer.
struct Gathered {
    peers: Vec<PeerStatistics>,
    reply: Option<HttpReply<Vec<PeerStatistics>>>,
}

impl Gathered {
    fn add(&mut self, part: Vec<PeerStatistics>) {
        for peer in part {
            match self.peers.iter_mut().find(|known| known.peer == peer.peer) {
                Some(known) => known.add(peer),
                None => self.peers.push(peer),
            }
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.peers.sort_by_key(|peer| peer.peer);
        if let Some(reply) = self.reply.take() {
            reply(Ok(mem::take(&mut self.peers)));
        }
    }
}

impl Handle {
    /// Sends an input. If no shard accepts it, dropping it answers the request with an error.
    fn ask<T: 'static>(&self, reply: HttpReply<T>, input: impl FnOnce(Reply<T>) -> Input) {
        let reply = Unanswered(Some(reply));
        let input = input(Box::new(move |result: Result<T, NegotiationError>| {
            reply.answer(result.map_err(Refusal::from));
        }));
        if let Err(error @ Overloaded) = self.send(input) {
            tracing::warn!(%error, "a request over HTTP was refused");
        }
    }
}

/// A reply that is answered with an error if it is dropped unanswered.
struct Unanswered<T>(Option<HttpReply<T>>);

impl<T> Unanswered<T> {
    fn answer(mut self, result: Result<T, Refusal>) {
        if let Some(reply) = self.0.take() {
            reply(result);
        }
    }
}

impl<T> Drop for Unanswered<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(Err(NegotiationError::Overloaded.into()));
        }
    }
}

/// Checks whether an offer could be answered.
fn check(session: HttpSession, sdp: &str) -> Result<(), SdpError> {
    if !sdp.trim_start().starts_with("v=") {
        return Err(SdpError::Malformed);
    }
    let offer = RemoteDescription::parse(sdp)?;
    if !offer.is_bundled {
        return Err(SdpError::Unbundled);
    }
    let asked: Vec<_> = offer
        .sections
        .iter()
        .filter(|section| match session {
            HttpSession::Publish => section.direction.sends(),
            HttpSession::Play { .. } => section.direction.receives(),
        })
        .filter(|section| !section.rejected)
        .filter_map(|section| Some((section.kind?, !section.codecs.is_empty())))
        .collect();
    if asked.iter().all(|(_, is_served)| !is_served) {
        return Err(SdpError::NothingInCommon);
    }
    // A player accepts what is available, but a publisher would assume that all of its media is sent.
    let unserved = asked.iter().find(|(_, is_served)| session == HttpSession::Publish && !is_served);
    unserved.map_or(Ok(()), |(kind, _)| Err(SdpError::Unserved(*kind)))
}

impl From<NegotiationError> for Refusal {
    fn from(error: NegotiationError) -> Self {
        let code = match error {
            NegotiationError::Sdp(SdpError::Malformed) => Code::BadRequest,
            NegotiationError::Sdp(SdpError::TooLarge) => Code::TooLarge,
            NegotiationError::Sdp(_) => Code::UnsupportedMedia,
            NegotiationError::UnknownPeer => Code::SessionUnknown,
            NegotiationError::Overloaded => Code::Overloaded,
        };
        Self::new(code, error.to_string())
    }
}
