//! `/socket.io/`: the protocol's messages as Socket.IO events called `message`, in the namespace `/`. Engine.IO
//! protocol 4 and Socket.IO protocol 5, over long polling, over WebSocket, and with an upgrade from polling to
//! WebSocket.
//!
//! Each client has one task, whichever way its packets come: [`polling`] hands them over as a WebSocket does.

pub(crate) use self::requests::routes;

mod event;
mod link;
mod polling;
mod requests;
mod transport;

/// The most attachments of one event. None is wanted, but they call for an answer rather than the end of the
/// connection.
const ATTACHMENTS: usize = 10;
/// The largest packet, and the largest payload of a POST, that is read so that it can be answered. The codec's limits
/// are lower.
const PACKET_BYTES: usize = 1024 * 1024;
