//! The keys by which the tables of a shard know one another.

use std::collections::HashMap;

slotmap::new_key_type! {
    pub(crate) struct PeerKey;
    pub(crate) struct TransportKey;
    pub(crate) struct PublicationKey;
    pub(crate) struct SubscriptionKey;
}

/// A table on the path of packets.
pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
