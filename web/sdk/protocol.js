/**
 * The messages of the wire protocol as types. Nothing here runs.
 *
 * @typedef {'participant' | 'broadcaster' | 'viewer'} Role
 * @typedef {'mesh' | 'sfu'} Topology
 * @typedef {'websocket' | 'sse' | 'socketio'} TransportName
 *
 * @typedef {object} Track
 * @property {string} track its id
 * @property {'audio' | 'video'} kind
 * @property {'camera' | 'microphone' | 'screen' | 'screen-audio' | 'other'} source
 * @property {boolean} [simulcast]
 * @property {string} [codec]
 *
 * @typedef {object} Peer
 * @property {string} id
 * @property {string} name
 * @property {Role} role
 * @property {boolean} host whether it has the host's powers
 * @property {string} joinedAt RFC 3339
 * @property {boolean} microphone
 * @property {boolean} camera
 * @property {boolean} screen
 * @property {boolean} hand
 * @property {Track[]} tracks what it publishes through the media server
 * @property {any} metadata
 * @property {boolean} [away] its connection is closed, and its session may still resume
 * @property {boolean} [live] a broadcaster whose media flows
 *
 * @typedef {object} Room
 * @property {string} id
 * @property {string} name as it was first written
 * @property {string} [title] of the meeting that the room was arranged for
 * @property {Topology} topology
 * @property {number} epoch
 * @property {boolean} locked
 * @property {string | null} host the id of the peer who has had the host's powers for longest
 * @property {boolean} lobby
 * @property {boolean} [password]
 * @property {boolean} recording
 * @property {number} viewers
 * @property {string} createdAt RFC 3339
 * @property {string} [endsAt] RFC 3339
 *
 * @typedef {object} JoinOptions
 * @property {string} room
 * @property {string} name
 * @property {Role} [role]
 * @property {string} [token] a join token or the room's host token
 * @property {string} [password]
 * @property {boolean} [create]
 * @property {'mesh' | 'sfu' | 'auto'} [topology] only when this join makes the room
 * @property {any} [metadata]
 * @property {string} [clientId] a secret: the same one in a second join replaces the older peer
 *
 * @typedef {object} Welcome
 * @property {'welcome'} type
 * @property {Peer} self
 * @property {string} session
 * @property {string} secret
 * @property {'joined' | 'waiting'} state
 * @property {Room} room
 * @property {Peer[]} [peers] absent in the lobby and for a resume
 * @property {string} [hostToken]
 * @property {RTCIceServer[]} [iceServers]
 * @property {number} [ttlSeconds]
 * @property {number} heartbeatMs
 * @property {number} resumeWindowMs
 * @property {number} lastId
 * @property {number} [lastSeq]
 * @property {boolean} [resumed]
 * @property {string[]} features
 *
 * @typedef {object} SignalBody
 * @property {RTCSessionDescriptionInit} [description]
 * @property {RTCIceCandidateInit} [candidate]
 * @property {boolean} [restart]
 * @property {number} [epoch]
 * @property {'publish' | 'subscribe'} [pc]
 * @property {number} [negotiation]
 * @property {{mid: string, track: string, peer: string}[]} [tracks]
 *
 * @typedef {object} Refusal
 * @property {string} code
 * @property {string} message
 * @property {boolean} [retryable]
 * @property {number} [seq]
 * @property {number} [retryAfterMs]
 * @property {string} [startsAt]
 * @property {string} [ownOrigin] what the server takes for its own address, where it refused this page's
 * @property {string} [reason] what is wrong with a token: `invitation-needed`, `expired`, `other-room`
 *
 * @typedef {{type: string, id?: number, [field: string]: any}} ServerEvent
 * @typedef {{type: string, seq?: number, [field: string]: any}} ClientMessage
 *
 * @typedef {object} ChatLine
 * @property {number} [id] of the event, the same each time the line is told
 * @property {string} from a peer's id
 * @property {string} text
 * @property {string} at RFC 3339
 * @property {string} [to] a peer's id, when it was for one alone
 * @property {string} [name] whose it is, when that is nobody who is listed
 *
 * @typedef {object} CallEvents
 * @property {import('./session.js').SessionState} state of the session
 * @property {Room} room
 * @property {Peer} joined
 * @property {{peer: Peer, reason: string}} left `missed`: while this client was not in the room itself
 * @property {Peer} updated
 * @property {string} media a peer's streams or connection changed
 * @property {ChatLine} chat
 * @property {{from: string, emoji: string}} reaction
 * @property {ServerEvent} event everything that the server says, before this class acts on it
 * @property {void} self own state changed
 * @property {{reason: string}} ended
 */

/** The WebSocket subprotocol. */
export const SUBPROTOCOL = 'visavis.v1';

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
