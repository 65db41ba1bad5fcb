//! One m-line of a connection.

use crate::keys::{PublicationKey, SubscriptionKey};
use crate::sdp::{LocalSection, RemoteSection};

/// What an m-line carries, and how it was last described.
#[derive(Debug)]
pub(crate) enum Section {
    /// A track of the client, while there is one.
    Receive {
        /// The track.
        publication: Option<PublicationKey>,
        /// The description.
        local: LocalSection,
    },
    /// Something for the client.
    Send {
        /// The sending side.
        subscription: SubscriptionKey,
        /// The description.
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
