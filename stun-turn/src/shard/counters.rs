//! Counters of a server. None is kept by client, so they do not grow.

/// Counts since the server began, of one shard or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Allocations that exist now.
    pub allocations: u64,
    /// Allocations ever made.
    pub allocations_created: u64,
    /// Allocations that ended because nobody refreshed them.
    pub allocations_expired: u64,
    /// Binding requests answered.
    pub binding_requests: u64,
    /// Requests answered with success.
    pub success_responses: u64,
    /// Requests answered with an error, 401 and 438 aside.
    pub error_responses: u64,
    /// 401 and 438 sent.
    pub challenges: u64,
    /// Requests with credentials that are wrong.
    pub wrong_credentials: u64,
    /// Requests without a response, since their unauthenticated sender exceeded its rate.
    pub rate_limited: u64,
    /// Packets relayed to peers.
    pub packets_to_peers: u64,
    /// Bytes of payload relayed to peers.
    pub bytes_to_peers: u64,
    /// Packets relayed to clients.
    pub packets_to_clients: u64,
    /// Bytes of payload relayed to clients.
    pub bytes_to_clients: u64,
    /// Packets that never left the process: between allocations, or to the media server beside this one.
    pub packets_in_process: u64,
    /// Packets for which there was no permission, no channel or no allocation.
    pub dropped_without_permission: u64,
    /// Packets to addresses that are denied.
    pub dropped_by_policy: u64,
    /// Packets over an allocation's bandwidth.
    pub dropped_by_bandwidth: u64,
    /// Messages that could not be read.
    pub malformed: u64,
}

impl Counters {
    /// Adds those of another shard.
    pub fn add(&mut self, other: &Self) {
        let Self {
            allocations,
            allocations_created,
            allocations_expired,
            binding_requests,
            success_responses,
            error_responses,
            challenges,
            wrong_credentials,
            rate_limited,
            packets_to_peers,
            bytes_to_peers,
            packets_to_clients,
            bytes_to_clients,
            packets_in_process,
            dropped_without_permission,
            dropped_by_policy,
            dropped_by_bandwidth,
            malformed,
        } = other;
        self.allocations += allocations;
        self.allocations_created += allocations_created;
        self.allocations_expired += allocations_expired;
        self.binding_requests += binding_requests;
        self.success_responses += success_responses;
        self.error_responses += error_responses;
        self.challenges += challenges;
        self.wrong_credentials += wrong_credentials;
        self.rate_limited += rate_limited;
        self.packets_to_peers += packets_to_peers;
        self.bytes_to_peers += bytes_to_peers;
        self.packets_to_clients += packets_to_clients;
        self.bytes_to_clients += bytes_to_clients;
        self.packets_in_process += packets_in_process;
        self.dropped_without_permission += dropped_without_permission;
        self.dropped_by_policy += dropped_by_policy;
        self.dropped_by_bandwidth += dropped_by_bandwidth;
        self.malformed += malformed;
    }
}
