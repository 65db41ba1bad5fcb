/**
 * The types of the wire protocol under the names that the SDK uses.
 *
 * @typedef {import('./transport/messages.js').ClientMessage} ClientMessage
 * @typedef {import('./transport/messages.js').HostAction} HostAction
 * @typedef {import('./transport/messages.js').Join} JoinOptions
 * @typedef {import('./transport/messages.js').PeerView} Peer
 * @typedef {import('./transport/messages.js').Role} Role
 * @typedef {import('./transport/messages.js').RoomView} Room
 * @typedef {import('./transport/messages.js').ServerMessage} ServerMessage
 * @typedef {import('./transport/messages.js').SignalBody} SignalBody
 * @typedef {import('./transport/messages.js').Topology} Topology
 * @typedef {import('./transport/messages.js').Track} Track
 * @typedef {import('./transport/messages.js').Welcome} Welcome
 * @typedef {import('./transport/transport.js').TransportName} TransportName
 */

/**
 * @template {ServerMessage['type']} Type
 * @typedef {Extract<ServerMessage, {type: Type}>} Message the server's message of one type
 */

/**
 * An `error` of the server, or a refusal that this client makes itself.
 *
 * @typedef {object} Refusal
 * @property {string} code
 * @property {string} message
 * @property {number} [seq]
 * @property {number} [retryAfterMs]
 * @property {string} [startsAt]
 * @property {string} [ownOrigin] the origin that the server considers its own, if it refused that of this page
 * @property {string} [reason] what is wrong with a token: `invitation-needed`, `expired`, `other-room`
 */

/** The server's refusal of a message, as an error. */
export class RefusedError extends Error {
  /** @param {Refusal} refusal */
  constructor(refusal) {
    super(refusal.message || refusal.code);
    this.name = 'RefusedError';
    this.code = refusal.code;
    this.retryAfterMs = refusal.retryAfterMs;
    this.startsAt = refusal.startsAt;
    this.ownOrigin = refusal.ownOrigin;
    this.reason = refusal.reason;
  }
}
