import { QualityWatch } from '../sdk/index.js';

/**
 * @typedef {import('../sdk/index.js').Call} Call
 * @typedef {import('../sdk/quality.js').Quality} Quality
 */

const EVERY_MS = 2000;

/** Looks at all connections every now and then. */
export class QualityLoop {
  /** @type {((peer: string, quality: Quality) => void)[]} */
  #listeners = [];
  #watch = new QualityWatch();
  #call;
  #timer;

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  /** @param {(peer: string, quality: Quality) => void} listener */
  listen(listener) {
    this.#listeners.push(listener);
  }

  close() {
    clearInterval(this.#timer);
  }

  async #look() {
    const connections = this.#call.connections();
    for (const { id } of this.#call.peers) {
      const direct = connections.get(id);
      const connection = direct ?? connections.get('subscribe');
      if (!connection) continue;
      const tracks = direct ? undefined : this.#call.streams(id)?.main.getTracks() ?? [];
      const quality = await this.#watch.look(id, connection, tracks).catch(() => null);
      if (quality) for (const listener of this.#listeners) listener(id, quality);
    }
  }
}
