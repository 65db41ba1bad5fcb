//! Binding (RFC 8489, section 2), with behaviour discovery (RFC 5780) where that is switched on.

use std::net::SocketAddr;

use super::Shard;
use super::event::Output;
use crate::five_tuple::{FiveTuple, PathId, Transport};
use crate::settings::BehaviourDiscovery;
use crate::wire::attribute as attr;
use crate::wire::{BadAttribute, MessageBuilder, Request};

impl Shard {
    pub(super) fn binding(&mut self, tuple: FiveTuple, path: PathId, request: &Request<'_>) {
        self.counters.binding_requests += 1;
        let discovery = self.context.settings.features.behaviour_discovery;
        let discovery = discovery.filter(|discovery| discovery.covers(tuple.server));
        let mut unknown: Vec<u16> = request.unknown.iter().copied().take(request.unknown_count).collect();
        // A stream or a DTLS association cannot be answered from another address.
        if discovery.is_none() || tuple.transport != Transport::Udp {
            unknown.extend(request.discovery_attributes());
        }
        if !unknown.is_empty() {
            let mut reply = MessageBuilder::error(request.reply_to(), 420);
            reply.unknown_attributes(&unknown);
            self.transmit(tuple, path, reply.finish(None));
            return;
        }
        let mut reply = MessageBuilder::success(request.reply_to());
        reply.xor_address(attr::XOR_MAPPED_ADDRESS, tuple.client);
        let Some(discovery) = discovery else {
            self.transmit(tuple, path, reply.finish(None));
            return;
        };
        let Ok((origin, destination)) = origin_and_destination(tuple, request, discovery) else {
            self.transmit(tuple, path, MessageBuilder::error(request.reply_to(), 400).finish(None));
            return;
        };
        let relays = &self.context.settings.relays;
        reply.address(attr::RESPONSE_ORIGIN, relays.seen_from_outside(origin));
        let other = discovery.changed(tuple.server, true, true);
        reply.address(attr::OTHER_ADDRESS, relays.seen_from_outside(other));
        if let Some(padding) = request.padding {
            // As long as the padding of the request, so that nothing is amplified (RFC 5780, section 7.6).
            reply.bytes(attr::PADDING, &vec![0; padding.len()]);
        }
        let message = reply.finish(None);
        if origin == tuple.server && destination == tuple.client {
            self.transmit(tuple, path, message);
        } else {
            self.outputs.push_back(Output::TransmitFrom { server: origin, client: destination, message });
        }
    }
}

/// Where the answer comes from and goes to (RFC 5780, section 6.1).
fn origin_and_destination(
    tuple: FiveTuple,
    request: &Request<'_>,
    discovery: BehaviourDiscovery,
) -> Result<(SocketAddr, SocketAddr), BadAttribute> {
    let (change_address, change_port) = request.change_request()?.unwrap_or_default();
    let origin = discovery.changed(tuple.server, change_address, change_port);
    let mut destination = tuple.client;
    if let Some(port) = request.response_port()? {
        destination.set_port(port);
    }
    Ok((origin, destination))
}
