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

/** @type {Record<string, string>} the sentences by the media server's reason to send no picture */
const PAUSED = { 'own-network': 'tile.waitingForRoom', sender: 'tile.waitingForKey', server: 'tile.waitingForServer' };

/** Shows on a tile that its first picture is missing or that pictures are withheld, and after a delay the reason. */
export class PictureWait {
  #call;
  #tiles;
  #timer;
  /** @type {Map<string, number>} since when a tile waits, by its key */
  #since = new Map();

  /**
   * @param {Call} call
   * @param {() => Iterable<[string, Tile]>} tiles of the others, by peer
   */
  constructor(call, tiles) {
    this.#call = call;
    this.#tiles = tiles;
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  async #look() {
    const now = performance.now();
    const waiting = new Set();
    await Promise.all([...this.#tiles()].map(async ([peer, tile]) => {
      const paused = this.#paused(peer, tile);
      if (!tile.lacksPicture && !paused) return tile.setWaiting('');
      waiting.add(tile.key);
      const since = this.#since.get(tile.key) ?? now;
      this.#since.set(tile.key, since);
      const waited = now - since;
      if (waited < (tile.lacksPicture ? GRACE_MS : WHY_MS)) return;
      const why = waited < WHY_MS ? 'tile.waiting' : await this.#why(peer, tile);
      if (tile.lacksPicture || this.#paused(peer, tile)) tile.setWaiting(t(why));
    }));
    for (const key of this.#since.keys()) if (!waiting.has(key)) this.#since.delete(key);
  }

  /**
   * @param {string} peer
   * @param {Tile} tile
   * @returns {string | null} why the media server sends none of its pictures: the key of a sentence
   */
  #paused(peer, tile) {
    const { report } = tile.expectsPicture ? this.#call.picture(peer, tile.source) : { report: null };
    return (report?.level === 0 && PAUSED[report.reason ?? '']) || null;
  }

  /**
   * @param {string} peer
   * @param {Tile} tile
   * @returns {Promise<string>} the key of a sentence
   */
  async #why(peer, tile) {
    const { track } = tile;
    const connections = this.#call.connections();
    const connection = connections.get(peer) ?? connections.get('subscribe');
    if (!connection || !['connected', 'completed'].includes(connection.iceConnectionState)) return 'tile.waitingForConnection';
    const paused = this.#paused(peer, tile);
    if (paused) return paused;
    const reports = track ? await connection.getStats(track).catch(() => null) : null;
    const inbound = [...(reports?.values() ?? [])].find(({ type }) => type === 'inbound-rtp');
    return (inbound?.packetsReceived ?? 0) > 0 ? 'tile.waitingForKey' : 'tile.waitingForPackets';
  }
}
