import { QualityWatch } from '../../sdk/index.js';

/**
 * @typedef {import('../../sdk/index.js').Call} Call
 * @typedef {import('../../sdk/quality.js').Quality} Quality
 */

const EVERY_MS = 1000;

/** Measures the quality of all connections at intervals. */
export class QualityLoop {
  /** @type {((peer: string, quality: Quality) => void)[]} */
  #listeners = [];
  #watch = new QualityWatch();
  #call;
  #isShown;
  #timer;

  /**
   * @param {Call} call
   * @param {(peer: string) => boolean} isShown whether a peer's picture is visible, so that it should arrive
   */
  constructor(call, isShown) {
    this.#call = call;
    this.#isShown = isShown;
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
    await Promise.all(this.#call.peers.map(async ({ id, microphone, camera }) => {
      const direct = connections.get(id);
      const connection = direct ?? connections.get('subscribe');
      if (!connection) return;
      const tracks = direct ? undefined : this.#call.streams(id)?.main.getTracks() ?? [];
      const isOn = microphone || (camera && this.#isShown(id));
      const quality = await this.#watch.look(id, connection, tracks, isOn).catch(() => null);
      if (quality) for (const listener of this.#listeners) listener(id, quality);
    }));
  }
}
