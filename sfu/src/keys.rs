//! The keys that refer to entries in the tables of a shard.

use std::collections::HashMap;

slotmap::new_key_type! {
    pub(crate) struct PeerKey;
    pub(crate) struct TransportKey;
    pub(crate) struct PublicationKey;
    pub(crate) struct SubscriptionKey;
    /// A TCP connection of a client, among those of one shard.
    pub struct StreamKey;
}

/// A hash table used on the packet path.
pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
