import { Emitter } from './emitter.js';

/** @typedef {'all' | 'low' | 'sound'} SavingLevel all pictures, the smallest ones, or sound only */

/** The topic of the `app` messages by which clients ask each other for small pictures. */
const TOPIC = 'visavis.saving';

/**
 * How much data the user wants to spend on pictures. The media server is asked for what `wants` says; between two peers
 * there is nobody who could make a picture smaller but its sender, so clients tell each other.
 *
 * @extends {Emitter<{level: SavingLevel, change: void}>} `change`: of anything below
 */
export class DataSaving extends Emitter {
  /** @type {SavingLevel} */
  #level = 'all';
  /** Peers whose pictures are shown although there is only sound. @type {Set<string>} */
  #shown = new Set();
  /** Peers that have asked for small pictures. @type {Set<string>} */
  #frugal = new Set();

  get level() {
    return this.#level;
  }

  set level(level) {
    if (level === this.#level) return;
    this.#level = level;
    this.#shown.clear();
    this.emit('level', level);
    this.emit('change', undefined);
  }

  /** Shows the pictures of one peer, or hides them again, while there is only sound. @param {string} id @param {boolean} on */
  show(id, on) {
    if (on) this.#shown.add(id);
    else this.#shown.delete(id);
    this.emit('change', undefined);
  }

  /** Which pictures of a peer are wanted. @param {string} id @returns {'all' | 'low' | 'none'} */
  wants(id) {
    if (this.#level !== 'sound') return this.#level;
    return this.#shown.has(id) ? 'low' : 'none';
  }

  /** Whether only the smallest picture is sent to the media server, or to a peer. @param {string} [id] */
  isSmall(id) {
    return this.#level !== 'all' || (id !== undefined && this.#frugal.has(id));
  }

  /** What another peer is told. */
  get message() {
    return { topic: TOPIC, data: { pictures: this.#level === 'all' ? 'all' : 'low' } };
  }

  /** @param {import('./protocol.js').Message<'app'>} message */
  heard({ from, topic, data }) {
    if (topic !== TOPIC) return;
    if (data?.pictures === 'low') this.#frugal.add(from);
    else this.#frugal.delete(from);
    this.emit('change', undefined);
  }

  /** @param {string} id */
  left(id) {
    this.#shown.delete(id);
    this.#frugal.delete(id);
  }
}
