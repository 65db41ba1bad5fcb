//! `/socket.io/`: the protocol's messages as Socket.IO events called `message`, in the namespace `/`. Engine.IO protocol 4,
//! Socket.IO protocol 5, over long polling, WebSocket, and from the one to the other.
//!
//! Each client has one task, whichever way its packets come: [`polling`] hands them over as a WebSocket does.

pub(crate) use self::requests::routes;

mod event;
mod link;
mod polling;
mod requests;
mod transport;

/// Attachments that one event may have. None is wanted, but that is for an answer, not for the end of the connection.
const ATTACHMENTS: usize = 10;
/// The largest packet, and the largest payload of a POST, that is read, so that it can be answered; the codec's limits are
/// lower.
const PACKET_BYTES: usize = 1024 * 1024;
