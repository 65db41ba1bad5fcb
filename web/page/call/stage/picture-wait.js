import { t } from '../../base/i18n.js';

/**
 * @typedef {import('../../../sdk/index.js').Call} Call
 * @typedef {import('./tile.js').Tile} Tile
 */

const EVERY_MS = 500;
/** A picture that arrives within this time, in milliseconds, needs no notice. */
const GRACE_MS = 700;
/** After this time, in milliseconds, the notice gives the reason. */
const WHY_MS = 3000;

/** Shows on a tile that its first picture is missing, and after a delay the reason. */
export class PictureWait {
  #call;
  #tiles;
  #timer;
  /** @type {Map<string, number>} since when a tile waits, by its key */
  #since = new Map();
  /** Peers whose pictures the media server withholds because this client's bandwidth is too low. @type {Set<string>} */
  #narrow = new Set();

  /**
   * @param {Call} call
   * @param {() => Iterable<[string, Tile]>} tiles of the others, by peer
   */
  constructor(call, tiles) {
    this.#call = call;
    this.#tiles = tiles;
    call.on('event', (event) => {
      if (event.type !== 'quality') return;
      if (event.reason === 'own-network') this.#narrow.add(event.peer);
      else this.#narrow.delete(event.peer);
    });
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  async #look() {
    const now = performance.now();
    const waiting = new Set();
    await Promise.all([...this.#tiles()].map(async ([peer, tile]) => {
      if (!tile.lacksPicture) return tile.setWaiting('');
      waiting.add(tile.key);
      const since = this.#since.get(tile.key) ?? now;
      this.#since.set(tile.key, since);
      const waited = now - since;
      if (waited < GRACE_MS) return;
      const why = waited < WHY_MS ? 'tile.waiting' : await this.#why(peer, tile.track);
      if (tile.lacksPicture) tile.setWaiting(t(why));
    }));
    for (const key of this.#since.keys()) if (!waiting.has(key)) this.#since.delete(key);
  }

  /**
   * @param {string} peer
   * @param {MediaStreamTrack | null} track
   * @returns {Promise<string>} the key of a sentence
   */
  async #why(peer, track) {
    const connections = this.#call.connections();
    const connection = connections.get(peer) ?? connections.get('subscribe');
    if (!connection || !['connected', 'completed'].includes(connection.iceConnectionState)) return 'tile.waitingForConnection';
    if (this.#narrow.has(peer)) return 'tile.waitingForRoom';
    const reports = track ? await connection.getStats(track).catch(() => null) : null;
    const inbound = [...(reports?.values() ?? [])].find(({ type }) => type === 'inbound-rtp');
    return (inbound?.packetsReceived ?? 0) > 0 ? 'tile.waitingForKey' : 'tile.waitingForPackets';
  }
}
