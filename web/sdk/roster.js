/**
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').Room} Room
 */

/**
 * The other peers of the room. A peer that is missing from a snapshot may only not have resumed yet (a restarted server
 * learns of its peers one by one), and is kept until the resume window is over.
 */
export class Roster {
  /** @type {Map<string, Peer>} */
  #peers = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #away = new Map();
  #gone;

  /** @param {(id: string) => void} gone an awaited peer has not resumed */
  constructor(gone) {
    this.#gone = gone;
  }

  /** @returns {Peer[]} in order of joining */
  get peers() {
    return [...this.#peers.values()];
  }

  /** @param {string} id */
  peer(id) {
    return this.#peers.get(id);
  }

  /** @param {Peer} peer */
  put(peer) {
    clearTimeout(this.#away.get(peer.id));
    this.#away.delete(peer.id);
    this.#peers.set(peer.id, peer);
  }

  /** @param {string} id */
  remove(id) {
    clearTimeout(this.#away.get(id));
    this.#away.delete(id);
    return this.#peers.delete(id);
  }

  /**
   * @param {Peer[]} peers that are in the room
   * @param {number} patienceMs for which the others are awaited
   */
  snapshot(peers, patienceMs) {
    for (const peer of peers) this.put(peer);
    const there = new Set(peers.map(({ id }) => id));
    for (const id of this.#peers.keys()) {
      if (there.has(id) || this.#away.has(id)) continue;
      this.#away.set(id, setTimeout(() => this.remove(id) && this.#gone(id), patienceMs));
    }
  }

  /** Removes all peers but the listed ones. @param {Peer[]} peers @returns {Peer[]} those removed */
  retain(peers) {
    const there = new Set(peers.map(({ id }) => id));
    const missing = this.peers.filter(({ id }) => !there.has(id));
    for (const { id } of missing) this.remove(id);
    return missing;
  }
}
