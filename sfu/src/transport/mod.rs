//! One peer connection: its ICE session, its DTLS association, its SRTP keys, and its media sections.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::arrivals::Arrivals;
use crate::codec::Codec;
use crate::dtls::{Fingerprint, Handshake};
use crate::ice::Credentials;
use crate::path::Path;
use crate::sdp::{LocalSection, RemoteSection};
use crate::sender::Sender;
use crate::shard::{PeerKey, PublicationKey, SubscriptionKey};
use crate::srtp::{Opener, Sealer};

/// Addresses of one client that ICE may validate.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Which way media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// From the client.
    Publish,
    /// To the client.
    Subscribe,
}

/// A peer connection as the server holds it.
pub(crate) struct Transport {
    pub(crate) peer: PeerKey,
    pub(crate) purpose: Purpose,
    /// The newest last; an older one stays until the newest is used (RFC 8445 section 9).
    pub(crate) credentials: Vec<Credentials>,
    /// The client's user name fragment, which tells an ICE restart.
    pub(crate) remote_ufrag: String,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Where to send.
    pub(crate) remote: Option<Path>,
    /// All addresses that ICE has validated, the newest last.
    pub(crate) addresses: Vec<Path>,
    /// By which of our addresses the client came.
    pub(crate) via: Option<IpAddr>,
    pub(crate) handshake: Option<Handshake>,
    /// When DTLS wants to be called, in microseconds.
    pub(crate) handshake_due: Option<u64>,
    pub(crate) keys: Option<Keys>,
    /// When the last flight of the handshake left that has not been answered.
    pub(crate) flight_left: Option<u64>,
    /// How far away the client is, by the handshake: the time from a flight to the next one of the client's, at least.
    pub(crate) rtt_micros: Option<u64>,
    pub(crate) last_check: u64,
    pub(crate) sections: Vec<Section>,
    /// `o=` line.
    pub(crate) session: u64,
    pub(crate) version: u64,
    /// SSRC of our RTCP.
    pub(crate) local_ssrc: u32,
    /// Incoming SSRCs.
    pub(crate) routes: HashMap<u32, Route, foldhash::fast::RandomState>,
    pub(crate) arrivals: Arrivals,
    pub(crate) sender: Sender,
    pub(crate) negotiation: Negotiation,
    /// Payload types given to codecs in our offers: codec, its number, that of its retransmissions.
    pub(crate) payload_types: Vec<(Codec, u8, Option<u8>)>,
    /// The earliest time at which a timer of this transport is queued.
    pub(crate) scheduled: u64,
    pub(crate) next_report: u64,
    pub(crate) probing: Probing,
}

/// When a subscriber who lacks pictures is next tried for bandwidth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probing {
    /// In microseconds; `None` while nothing is held back.
    pub(crate) next_at: Option<u64>,
    /// The last wait; the next one is twice as long.
    pub(crate) waited: u64,
    /// A burst was sent that the client has not reported.
    pub(crate) unanswered: bool,
}

/// SRTP in both directions.
pub(crate) struct Keys {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

/// What an incoming SSRC carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The track itself.
    Media(PublicationKey),
    /// Its retransmissions.
    Retransmission(PublicationKey),
}

/// One m-line.
#[derive(Debug)]
pub(crate) enum Section {
    /// A track of the client.
    Receive {
        /// The track, while there is one.
        publication: Option<PublicationKey>,
        /// As last described.
        local: LocalSection,
    },
    /// Something for the client.
    Send {
        /// The sending side.
        subscription: SubscriptionKey,
        /// As last described.
        local: LocalSection,
    },
    /// Neither: refused for good.
    Rejected(LocalSection),
}

impl Section {
    pub(crate) fn reject(offered: &RemoteSection) -> Self {
        Self::Rejected(LocalSection::reject(offered))
    }

    pub(crate) fn local(&self) -> &LocalSection {
        match self {
            Self::Receive { local, .. } | Self::Send { local, .. } | Self::Rejected(local) => local,
        }
    }
}

/// How far the exchange of our offers is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Negotiation {
    /// The number of the newest offer.
    pub(crate) number: u64,
    /// Whether that offer waits for its answer.
    pub(crate) outstanding: bool,
    /// Something has changed that the newest offer does not say.
    pub(crate) stale: bool,
}

impl Transport {
    /// The credentials that our descriptions carry.
    pub(crate) fn newest_credentials(&self) -> Option<&Credentials> {
        self.credentials.last()
    }

    /// Where to send now: the nominated pair, before nomination any valid one.
    pub(crate) fn destination(&self) -> Option<Path> {
        self.remote.or_else(|| self.addresses.last().copied())
    }

    /// A flight of the client's handshake has come.
    pub(crate) fn on_flight(&mut self, now_micros: u64) {
        if let Some(left) = self.flight_left.take() {
            let sample = now_micros.saturating_sub(left);
            self.rtt_micros = Some(self.rtt_micros.map_or(sample, |known| known.min(sample)));
        }
    }

    /// Whether media can flow.
    pub(crate) fn is_connected(&self) -> bool {
        self.keys.is_some() && self.destination().is_some()
    }
}
