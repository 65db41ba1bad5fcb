/**
 * The types of a transport: it carries one session's messages to the server and the server's events back, and closes once.
 *
 * @typedef {import('./messages.js').ServerMessage} ServerMessage
 * @typedef {import('./messages.js').ClientMessage} ClientMessage
 *
 * @typedef {'websocket' | 'sse' | 'socketio'} TransportName
 *
 * @typedef {object} Listener
 * @property {(event: ServerMessage) => void} event an event arrived
 * @property {(end: TransportEnd) => void} closed the transport has ended; nothing follows
 *
 * @typedef {object} TransportEnd
 * @property {boolean} replaced another transport of the same session has taken over, which is final
 * @property {number} [retryAfterMs] the server asks for this delay
 *
 * @typedef {object} Transport
 * @property {(first: ClientMessage) => void} open connects and sends `join` or `resume` first
 * @property {(message: ClientMessage) => void} send
 * @property {(held: boolean) => boolean} hold holds the first message back, or releases it; returns false if it has been sent
 * @property {() => void} close closes it without leaving the room; `closed` is not called
 * @property {(leave: ClientMessage) => void} leave leaves the room as the page goes away
 */
export {};
