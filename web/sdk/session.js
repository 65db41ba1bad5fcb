import { Backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { Heartbeat } from './heartbeat.js';
import { Outbox } from './outbox.js';
import { RefusedError } from './protocol.js';
import { Race } from './transport/race.js';

/**
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').JoinOptions} JoinOptions
 * @typedef {import('./protocol.js').ServerMessage} ServerMessage
 * @typedef {import('./protocol.js').TransportName} TransportName
 * @typedef {import('./protocol.js').Welcome} Welcome
 *
 * @typedef {'idle' | 'connecting' | 'connected' | 'reconnecting' | 'ended'} SessionState
 */

/** Answers to a `resume` after which only a new `join` helps. */
const FORGOTTEN = new Set(['session-unknown', 'unauthorized']);
/** Answers to a `join` whose token may have been issued under an earlier key of the server. */
const DEAD_TOKEN = new Set(['unauthorized', 'forbidden']);
/** Answers to a `join` after which the same may succeed later. */
const PASSING = new Set(['rate-limited', 'overloaded', 'internal']);
const SILENT_JITTER_MS = 100;
/** The longest time for which the server may owe an answer, in milliseconds. */
const OWED_MS = 20_000;
/** A transport lost within this time after a sign of a changed network, in milliseconds, was lost with that network. */
const DOUBT_MS = 10_000;
/** An attempt to connect older than this, in milliseconds, is restarted when the network has changed. */
const HURRY_MS = 1000;
/** A connection without a welcome after this time, in milliseconds, is given up. */
const WELCOME_TIMEOUT_MS = 10_000;

/**
 * One session with the server over any transport that works: joins, resumes, and emits every event once.
 *
 * @extends {Emitter<{
 *   state: SessionState,
 *   welcome: Welcome,
 *   verified: {moved: boolean},
 *   event: ServerMessage,
 *   unreachable: void,
 *   tokenrefused: string,
 *   ended: {reason: string},
 * }>}
 */
export class Session extends Emitter {
  /** The id of the last event that was seen. */
  lastId = 0;
  /** @type {SessionState} */
  state = 'idle';
  #base;
  #transports;
  #outbox = new Outbox();
  #backoff = new Backoff();
  #heartbeat = new Heartbeat(
    () => this.#ping(),
    () => this.#silent(),
    () => this.#verify(false),
  );
  /** @type {JoinOptions | null} */
  #join = null;
  /** @type {{session: string, secret: string} | null} */
  #credentials = null;
  /** @type {Race | null} */
  #transport = null;
  #connectingSince = 0;
  #welcomed = false;
  /** There was an earlier session, whose messages may still be unanswered. */
  #former = false;
  /** @type {{resolve: (welcome: Welcome) => void, reject: (error: Error) => void} | null} */
  #starting = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #waitMs = 0;
  /** When there was last a sign that the network has changed. */
  #doubtedAt = -Infinity;

  /**
   * @param {object} options
   * @param {URL | string} options.base the server's address, with the path that it is below, if any
   * @param {TransportName[]} options.transports in order of preference; the next is tried when one fails or hangs
   */
  constructor({ base, transports }) {
    super();
    this.#base = asFolder(base);
    this.#transports = [...transports];
  }

  /** The transport in use, or tried next. */
  get transportName() {
    return /** @type {TransportName} */ (this.#transports[0]);
  }

  /**
   * Enters a room.
   *
   * @param {JoinOptions} join
   * @returns {Promise<Welcome>} rejected with a `RefusedError` if the server refuses
   */
  start(join) {
    // A join is repeated if its answer is lost; because of the client id it does not create a second peer.
    this.#join = { clientId: randomId(), ...join };
    this.state = 'idle';
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject };
      this.#connect();
    });
  }

  /**
   * Sends a message now, or as soon as a transport is open again.
   *
   * @param {ClientMessage} message
   * @returns {Promise<void>} settles when the server has acted on it or refused it
   */
  send(message) {
    return this.#outbox.add(message);
  }

  /**
   * Changes to another transport without leaving the room.
   *
   * @param {TransportName} name
   */
  switchTransport(name) {
    this.#prefer(name);
    if (this.#credentials && this.state !== 'ended') this.#connect();
  }

  /** New STUN and TURN servers. @returns {Promise<{iceServers: RTCIceServer[], peerIceServers?: RTCIceServer[], ttlSeconds: number} | null>} */
  async iceServers() {
    const response = await this.#request('api/v1/ice-servers');
    return response?.ok ? response.json() : null;
  }

  /** What the media server has received of this client. @returns {Promise<import('./diagnosis.js').Reach | null>} */
  async mediaPath() {
    const response = await this.#request('api/v1/media-path');
    return response?.ok ? response.json() : null;
  }

  /** Has the server count a cause. @param {import('./cause.js').Cause} cause */
  async report(cause) {
    await this.#request('api/v1/causes', { method: 'POST', body: JSON.stringify({ cause }) });
  }

  /** A request beside the transport. @param {string} path @param {RequestInit} [init] */
  async #request(path, init = {}) {
    if (!this.#credentials) return null;
    const headers = { Authorization: `Bearer ${this.#credentials.secret}`, ...(init.body ? { 'Content-Type': 'application/json' } : {}) };
    return fetch(new URL(path, this.#base), { ...init, headers });
  }

  /** Checks at once whether the server can be reached: the network may have changed, or the page was suspended. */
  hurry() {
    this.#doubtedAt = performance.now();
    if (this.state === 'connected') return this.#heartbeat.probe();
    if (this.state !== 'connecting' && this.state !== 'reconnecting') return;
    const hangs = this.#transport !== null && performance.now() - this.#connectingSince > HURRY_MS;
    if (!this.#transport || hangs) this.#connect();
  }

  /**
   * Leaves for good.
   *
   * @param {{mayReturn?: boolean}} [options] `mayReturn`: host power is held for the resume window
   */
  leave({ mayReturn = false } = {}) {
    this.#transport?.leave({ type: 'leave', ...(mayReturn ? { mayReturn } : {}) });
    this.#transport = null;
    this.#end('left');
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#transport?.close();
    this.#welcomed = false;
    this.#outbox.pause();
    this.#connectingSince = performance.now();
    this.#setState(this.#credentials || this.state === 'reconnecting' ? 'reconnecting' : 'connecting');
    const transport = new Race(this.#transports, this.#base, {
      event: (event) => {
        if (transport === this.#transport) this.#receive(event);
      },
      closed: (end) => {
        if (transport !== this.#transport) return;
        if (end.replaced) return this.#end('session-replaced');
        this.#waitMs = Math.max(this.#waitMs, end.retryAfterMs ?? 0);
        this.#lost();
      },
    });
    this.#transport = transport;
    this.#timer = setTimeout(() => this.#lost(), WELCOME_TIMEOUT_MS);
    const join = /** @type {JoinOptions} */ (this.#join);
    transport.open(this.#credentials ? { type: 'resume', ...this.#credentials, lastId: this.lastId } : { type: 'join', ...join });
  }

  /** No answer: the network has changed or failed. The jitter spreads the clients if the server was suspended. */
  #silent() {
    if (this.state !== 'connected') return;
    this.#doubtedAt = performance.now();
    this.#lost();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), Math.random() * SILENT_JITTER_MS);
  }

  #ping() {
    // Answers were lost. The server repeats them when the messages are sent again over another transport.
    if (this.#outbox.owedMs > OWED_MS) return this.#silent();
    this.#transport?.send({ type: 'ping', t: Math.round(performance.now()) });
  }

  /**
   * The server has answered.
   *
   * @param {boolean} moved the network has probably changed
   */
  #verify(moved) {
    this.#doubtedAt = -Infinity;
    this.emit('verified', { moved });
  }

  /** The transport is lost; the session continues. */
  #lost() {
    if (this.state === 'ended') return;
    const worked = this.#welcomed;
    this.#transport?.close();
    this.#transport = null;
    this.#welcomed = false;
    this.#outbox.pause();
    this.#heartbeat.stop();
    clearTimeout(this.#timer);
    if (this.#credentials) this.#setState('reconnecting');
    if (!worked) this.emit('unreachable', undefined);
    // The jitter is added to what the server tells, since it may have told many clients the same.
    const waitMs = this.#waitMs + this.#backoff.next();
    this.#waitMs = 0;
    this.#timer = setTimeout(() => this.#connect(), waitMs);
  }

  /** @param {ServerMessage} event */
  #receive(event) {
    this.#heartbeat.heard();
    if (event.id !== undefined) {
      if (event.id <= this.lastId) return;
      this.lastId = event.id;
    }
    switch (event.type) {
      case 'welcome':
        return this.#welcome(event);
      case 'ack':
        if (event.seq === undefined) return;
        // A provisional answer is followed by a final one.
        return 'provisional' in event && event.provisional ? this.#outbox.heard() : this.#outbox.acknowledge(event.seq);
      case 'error':
        return this.#error(event);
      case 'going-away':
        this.#waitMs = event.reconnectAfterMs ?? 0;
        return this.emit('event', event);
      case 'pong':
        return typeof event.t === 'number' ? this.#heartbeat.measured(performance.now() - event.t) : undefined;
      case 'ping':
        return;
      case 'snapshot':
        this.lastId = event.lastId;
        return this.emit('event', event);
      default:
        return this.emit('event', event);
    }
  }

  /** @param {Welcome} welcome */
  #welcome(welcome) {
    clearTimeout(this.#timer);
    const admitted = this.#welcomed;
    const anew = !welcome.resumed && !admitted && this.#former;
    this.#welcomed = this.#former = true;
    this.#backoff.reset();
    this.#prefer(this.#transport?.winner ?? this.transportName);
    this.#credentials = { session: welcome.session, secret: welcome.secret };
    if (!welcome.resumed) this.lastId = welcome.lastId;
    if (welcome.hostToken && this.#join) this.#join = { ...this.#join, token: welcome.hostToken };
    this.#heartbeat.start(welcome.heartbeatMs);
    if (anew) this.#outbox.restart();
    // In the lobby everything but leaving waits.
    if (welcome.state === 'joined' && !this.#outbox.isOpen) this.#outbox.open((message) => this.#transport?.send(message));
    this.#setState('connected');
    this.emit('welcome', welcome);
    if (welcome.resumed) this.#verify(performance.now() - this.#doubtedAt < DOUBT_MS);
    this.#starting?.resolve(welcome);
    this.#starting = null;
  }

  /** @param {import('./protocol.js').Refusal} refusal */
  #error(refusal) {
    if (refusal.code === 'session-replaced') return this.#end(refusal.code);
    if (refusal.seq !== undefined) return this.#outbox.refuse(/** @type {import('./protocol.js').Refusal & {seq: number}} */ (refusal));
    if (this.#credentials && FORGOTTEN.has(refusal.code)) {
      this.#credentials = null;
      this.state = 'reconnecting';
      return this.#connect();
    }
    if (this.#welcomed) return;
    if (PASSING.has(refusal.code)) {
      this.#waitMs = refusal.retryAfterMs ?? 0;
      return this.#lost();
    }
    if (!this.#starting && this.#join?.token && DEAD_TOKEN.has(refusal.code)) return this.#joinWithoutToken(refusal.code);
    this.#starting?.reject(new RefusedError(refusal));
    this.#starting = null;
    this.#end(refusal.code);
  }

  /**
   * The server no longer accepts its own token, since it has new keys. The client joins as a new peer.
   *
   * @param {string} code
   */
  #joinWithoutToken(code) {
    const { token: _dead, ...join } = /** @type {JoinOptions} */ (this.#join);
    this.#join = join;
    this.emit('tokenrefused', code);
    this.#connect();
  }

  /** Tries this transport first from now on. @param {TransportName} name */
  #prefer(name) {
    this.#transports = [name, ...this.#transports.filter((other) => other !== name)];
  }

  /** @param {string} reason */
  #end(reason) {
    if (this.state === 'ended') return;
    clearTimeout(this.#timer);
    this.#heartbeat.stop();
    this.#transport?.close();
    this.#transport = null;
    this.#welcomed = false;
    this.#credentials = null;
    this.#former = false;
    this.#outbox.end(reason);
    this.#setState('ended');
    this.emit('ended', { reason });
  }

  /** @param {SessionState} state */
  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }

  /**
   * The room is over for this peer: nothing is left to resume.
   *
   * @param {string} reason
   */
  close(reason) {
    this.#end(reason);
  }
}

/** The URL with a slash at its end, so that relative paths are resolved below it. @param {URL | string} base */
function asFolder(base) {
  const folder = new URL(base);
  if (!folder.pathname.endsWith('/')) folder.pathname += '/';
  return folder;
}

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
