/**
 * @typedef {import('./protocol.js').Peer} Peer
 * @typedef {import('./protocol.js').Room} Room
 */

/**
 * Who else is in the room. After a snapshot, somebody who is missing from it may only be on the way back (a server
 * that was restarted learns of its peers one by one), and is kept until the time to resume is over.
 */
export class Roster {
  /** @type {Map<string, Peer>} */
  #peers = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #away = new Map();
  #gone;

  /** @param {(id: string) => void} gone somebody who was awaited did not come back */
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
   * @param {Peer[]} peers who is there
   * @param {number} patienceMs how long the others are awaited
   */
  snapshot(peers, patienceMs) {
    for (const peer of peers) this.put(peer);
    const there = new Set(peers.map(({ id }) => id));
    for (const id of this.#peers.keys()) {
      if (there.has(id) || this.#away.has(id)) continue;
      this.#away.set(id, setTimeout(() => this.remove(id) && this.#gone(id), patienceMs));
    }
  }

  clear() {
    for (const timer of this.#away.values()) clearTimeout(timer);
    this.#away.clear();
    this.#peers.clear();
  }
}
