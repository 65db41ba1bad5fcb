import { t } from '../../base/i18n.js';

/**
 * @typedef {import('../../../sdk/index.js').Call} Call
 * @typedef {import('./tile.js').Tile} Tile
 */

const EVERY_MS = 500;
/** A smaller picture is explained once it has lasted for this time, in milliseconds. */
const LASTS_MS = 3000;
/** A picture that is enlarged by no more than this needs no explanation. */
const ENLARGED = 1.25;
/** The level at which the media server sends what was asked for. */
const FULL = 4;

/** Shows on a tile why its picture is smaller than it could be, once that has lasted, and until it is over. */
export class SmallPicture {
  #call;
  #tiles;
  #timer;
  /** @type {Map<string, {reason: string | null, since: number}>} by tile */
  #lasting = new Map();

  /**
   * @param {Call} call
   * @param {() => Iterable<[string, Tile]>} tiles of the others, by peer
   */
  constructor(call, tiles) {
    this.#call = call;
    this.#tiles = tiles;
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  #look() {
    const now = performance.now();
    const there = new Set();
    for (const [peer, tile] of this.#tiles()) {
      there.add(tile.key);
      const reason = this.#reason(peer, tile);
      const known = this.#lasting.get(tile.key);
      if (known?.reason !== reason) this.#lasting.set(tile.key, { reason, since: now });
      if (reason === null) tile.setSmall('');
      else if (known?.reason === reason && now - known.since >= LASTS_MS) tile.setSmall(t(`tile.small.${reason}`));
    }
    for (const key of this.#lasting.keys()) if (!there.has(key)) this.#lasting.delete(key);
  }

  /**
   * @param {string} peer
   * @param {Tile} tile
   * @returns {string | null} the name of its text
   */
  #reason(peer, tile) {
    if (tile.lacksPicture || tile.enlargement <= ENLARGED) return null;
    const { report, limit } = this.#call.picture(peer, tile.source);
    if (tile.source === 'camera' && this.#call.saving.wants(peer) === 'low') return 'own-saving';
    if (report && report.level > 0 && report.level < FULL && report.reason && report.reason !== 'not-wanted') return report.reason;
    if (limit === 'network') return this.#call.room?.topology === 'mesh' ? 'path' : 'sender';
    return limit;
  }
}
