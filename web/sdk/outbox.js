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

/** Messages that the server has not answered yet, by their `seq`. A new transport gets them again. */
export class Outbox {
  #seq = 0;
  /** @type {Map<number, Entry>} in order of `seq` */
  #waiting = new Map();

  /**
   * Numbers a message and keeps it.
   *
   * @param {ClientMessage} message
   * @returns {{message: ClientMessage, done: Promise<void>}} what to send, and the server's answer
   */
  add(message) {
    const numbered = { ...message, seq: ++this.#seq };
    /** @type {Promise<void>} */
    const done = new Promise((resolve, reject) => this.#waiting.set(numbered.seq, { message: numbered, resolve, reject }));
    // Whoever does not look at the answer must not be told of an unhandled rejection.
    done.catch(() => {});
    return { message: numbered, done };
  }

  /** @param {number} seq */
  acknowledge(seq) {
    this.#waiting.get(seq)?.resolve();
    this.#waiting.delete(seq);
  }

  /** @param {Refusal & {seq: number}} refusal */
  refuse(refusal) {
    this.#waiting.get(refusal.seq)?.reject(new RefusedError(refusal));
    this.#waiting.delete(refusal.seq);
  }

  /**
   * Gives a message that came too fast a new number.
   *
   * @param {number} seq
   * @returns {ClientMessage | null} what to send later
   */
  renumber(seq) {
    const entry = this.#waiting.get(seq);
    if (!entry) return null;
    this.#waiting.delete(seq);
    entry.message = { ...entry.message, seq: ++this.#seq };
    this.#waiting.set(this.#seq, entry);
    return entry.message;
  }

  /**
   * @param {number} lastSeq the greatest that took effect, says the server
   * @returns {ClientMessage[]} what has to be sent again, in order
   */
  resume(lastSeq) {
    for (const seq of [...this.#waiting.keys()]) if (seq <= lastSeq) this.acknowledge(seq);
    return [...this.#waiting.values()].map((entry) => entry.message);
  }

  /**
   * A new session: what was meant for the peers of the old one is given up, chat is not.
   *
   * @returns {ClientMessage[]} what has to be sent again, in order
   */
  restart() {
    for (const [seq, { message, reject }] of [...this.#waiting]) {
      if (message.type === 'chat' && message.to === undefined) continue;
      this.#waiting.delete(seq);
      reject(new RefusedError({ code: 'session-unknown', message: 'the session is over' }));
    }
    return this.resume(0);
  }
}
