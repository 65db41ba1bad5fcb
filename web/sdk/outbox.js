import { Pace } from './pace.js';
import { RefusedError } from './protocol.js';

/**
 * @typedef {import('./protocol.js').ClientMessage} ClientMessage
 * @typedef {import('./protocol.js').Refusal} Refusal
 *
 * @typedef {object} Entry
 * @property {ClientMessage} message
 * @property {() => void} resolve
 * @property {(error: Error) => void} reject
 */

/** The most messages in flight. The server keeps 64 answers for messages that are repeated after a lost connection. */
const WINDOW = 32;
/** The server accepts 200 in a burst and 50 per second of a session, including pings and repeated messages. */
const PACE = { burst: 150, perSecond: 45 };
/** At most this many messages wait for a connection. */
const AT_MOST = 4096;

/**
 * Messages on their way to the server, in order. Each receives its number when it is sent, and keeps it until the server
 * has answered: on a new transport it is sent again, and the server repeats its answer. If the server refuses a message
 * for its rate, no other overtakes it: the outbox waits, and continues with that message.
 */
export class Outbox {
  #seq = 0;
  /** @type {Entry[]} not sent, in order */
  #queue = [];
  /** @type {Map<number, Entry>} sent and not answered, by number and in order */
  #sent = new Map();
  /** @type {((message: ClientMessage) => void) | null} */
  #write = null;
  /** Refused for their rate, with their numbers. @type {Map<number, Entry>} */
  #refused = new Map();
  /** The server's limit is lower than ours: one message at a time until all are accepted. */
  #careful = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #pausedUntil = 0;
  /** When the server last answered, or had nothing to answer. */
  #heardAt = 0;
  #now;
  #pace;

  /** @param {{now?: () => number}} [options] a clock in milliseconds that only goes forward */
  constructor({ now = () => performance.now() } = {}) {
    this.#now = now;
    this.#pace = new Pace({ ...PACE, now });
  }

  /** For how long the server has owed an answer, in milliseconds. */
  get owedMs() {
    return this.#sent.size > 0 && this.isOpen ? this.#now() - this.#heardAt : 0;
  }

  /** Whether messages are sent at present. */
  get isOpen() {
    return this.#write !== null;
  }

  /**
   * Adds a message, which is sent when its turn comes.
   *
   * @param {ClientMessage} message
   * @returns {Promise<void>} settles with the server's answer to this very message
   */
  add(message) {
    if (this.#queue.length >= AT_MOST) return Promise.reject(new RefusedError({ code: 'overloaded', message: 'too many messages wait' }));
    /** @type {Promise<void>} */
    const done = new Promise((resolve, reject) => this.#queue.push({ message, resolve, reject }));
    // A caller that ignores the promise must not cause an unhandled rejection.
    done.catch(() => {});
    this.#advance();
    return done;
  }

  /**
   * A transport is open: unanswered messages are sent again under the same numbers, then the others.
   *
   * @param {(message: ClientMessage) => void} write
   */
  open(write) {
    this.#write = write;
    this.heard();
    for (const { message } of this.#sent.values()) this.#put(message);
    this.#advance();
  }

  /** The transport is gone. */
  pause() {
    this.#write = null;
    clearTimeout(this.#timer);
  }

  /**
   * A new session does not know the numbers of the former one: only chat to everybody is kept, other messages are rejected.
   */
  restart() {
    const entries = [...this.#refused.values(), ...this.#sent.values(), ...this.#queue];
    this.#refused.clear();
    this.#sent.clear();
    this.#careful = false;
    this.#pausedUntil = 0;
    this.#pace.fill();
    const kept = (/** @type {Entry} */ { message }) => message.type === 'chat' && message.to === undefined;
    this.#queue = entries.filter(kept);
    for (const entry of entries) if (!kept(entry)) entry.reject(new RefusedError({ code: 'session-unknown', message: 'the session is over' }));
  }

  /** No more messages are sent. @param {string} code the reason */
  end(code) {
    this.pause();
    const entries = [...this.#refused.values(), ...this.#sent.values(), ...this.#queue];
    this.#refused.clear();
    this.#sent.clear();
    this.#queue = [];
    for (const { reject } of entries) reject(new RefusedError({ code, message: 'the session is over' }));
  }

  /** The server has sent something, so it is working on the answers that it owes. */
  heard() {
    this.#heardAt = this.#now();
  }

  /** @param {number} seq */
  acknowledge(seq) {
    this.#answered(seq)?.resolve();
    this.#advance();
  }

  /** @param {Refusal & {seq: number}} refusal */
  refuse(refusal) {
    const entry = this.#answered(refusal.seq);
    if (entry && refusal.code === 'rate-limited') {
      this.#refused.set(refusal.seq, entry);
      this.#careful = true;
      this.#pausedUntil = Math.max(this.#pausedUntil, this.#now() + (refusal.retryAfterMs ?? 1000));
    } else {
      entry?.reject(new RefusedError(refusal));
    }
    this.#advance();
  }

  /** @param {number} seq */
  #answered(seq) {
    const entry = this.#sent.get(seq);
    this.#sent.delete(seq);
    this.heard();
    return entry;
  }

  #advance() {
    clearTimeout(this.#timer);
    if (!this.#write) return;
    if (this.#refused.size > 0) {
      // Wait for the answers to later messages: they are refused too, and follow the first one again.
      if (this.#sent.size > 0) return;
      const inOrder = [...this.#refused].sort(([one], [other]) => one - other).map(([, entry]) => entry);
      this.#queue.unshift(...inOrder);
      this.#refused.clear();
    }
    while (this.#queue.length > 0 && this.#sent.size < (this.#careful ? 1 : WINDOW)) {
      const waitMs = Math.max(this.#pausedUntil - this.#now(), this.#careful ? 0 : this.#pace.waitMs);
      if (waitMs > 0) return void (this.#timer = setTimeout(() => this.#advance(), Math.ceil(waitMs)));
      this.#next();
    }
    if (this.#queue.length === 0 && this.#sent.size === 0) this.#careful = false;
  }

  #next() {
    const entry = this.#queue.shift();
    if (!entry) return;
    const seq = ++this.#seq;
    if (this.#sent.size === 0) this.heard();
    const message = { ...entry.message, seq };
    this.#sent.set(seq, { ...entry, message });
    this.#put(message);
  }

  /** @param {ClientMessage} message */
  #put(message) {
    this.#pace.take();
    this.#write?.(message);
  }
}
