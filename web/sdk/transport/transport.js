/**
 * What a transport is to a session: a way to send messages and to hear events, until it closes once.
 *
 * @typedef {import('./messages.js').ServerMessage} ServerMessage
 * @typedef {import('./messages.js').ClientMessage} ClientMessage
 *
 * @typedef {'websocket' | 'sse' | 'socketio'} TransportName
 *
 * @typedef {object} Listener
 * @property {(event: ServerMessage) => void} event something came from the server
 * @property {(end: TransportEnd) => void} closed it is over; nothing else comes
 *
 * @typedef {object} TransportEnd
 * @property {boolean} replaced another transport of the same session took over, which is final
 * @property {number} [retryAfterMs] the server asked to wait that long
 *
 * @typedef {object} Transport
 * @property {(first: ClientMessage) => void} open connects and sends `join` or `resume` first
 * @property {(message: ClientMessage) => void} send
 * @property {(held: boolean) => boolean} hold keeps the first message back, or lets it go; whether that was still possible
 * @property {() => void} close closes it without leaving the room; `closed` is not called
 * @property {(leave: ClientMessage) => void} leave leaves the room as the page goes away
 */

import { SocketIoTransport } from './socketio.js';
import { SseTransport } from './sse.js';
import { WebSocketTransport } from './websocket.js';

/** @type {Record<TransportName, new (base: URL, listener: Listener) => Transport>} */
const TRANSPORTS = { websocket: WebSocketTransport, sse: SseTransport, socketio: SocketIoTransport };

/**
 * @param {TransportName} name
 * @param {URL} base the server's address, ending in a slash
 * @param {Listener} listener
 * @returns {Transport}
 */
export function createTransport(name, base, listener) {
  return new TRANSPORTS[name](base, listener);
}
