//! One m-line of a connection.

use crate::keys::{PublicationKey, SubscriptionKey};
use crate::sdp::{LocalSection, RemoteSection};

/// The content of an m-line and its last description.
#[derive(Debug)]
pub(crate) enum Section {
    /// A section that receives a track from the client, if there is one.
    Receive {
        /// The track.
        publication: Option<PublicationKey>,
        /// The description.
        local: LocalSection,
    },
    /// A section that sends to the client.
    Send {
        /// The subscription.
        subscription: SubscriptionKey,
        /// The description.
        local: LocalSection,
    },
    /// A section that is rejected for good.
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

    pub(crate) fn sends(&self) -> Option<SubscriptionKey> {
        match self {
            Self::Send { subscription, .. } => Some(*subscription),
            _ => None,
        }
    }

    pub(crate) fn receives(&self) -> Option<PublicationKey> {
        match self {
            Self::Receive { publication, .. } => *publication,
            _ => None,
        }
    }
}
