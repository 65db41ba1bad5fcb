/**
 * @typedef {import('./protocol.js').Message<'quality'>} QualityEvent
 *
 * @typedef {object} PictureReport what the media server last said about a picture
 * @property {number} level from 0, no picture is sent, to 4, the picture that was asked for
 * @property {string} [layer] the name of the layer that is sent
 * @property {QualityEvent['reason']} [reason] why it is not better
 */

/** The server repeats every 3 s that a publisher sends no picture to start with; after this time it no longer does. */
const REPEATED_MS = 5000;

/** What the media server has said about the pictures of other peers: the latest report of each track. */
export class PictureReports {
  /** @type {Map<string, PictureReport & {at: number}>} by peer and track */
  #reports = new Map();

  /** @param {QualityEvent} event concerns all of a peer's pictures if it names no track */
  heard({ peer, track = '', level, layer, reason }) {
    this.#reports.set(`${peer} ${track}`, { level, layer, reason, at: performance.now() });
  }

  /**
   * @param {string} peer
   * @param {string} [track]
   * @returns {PictureReport | null}
   */
  of(peer, track = '') {
    const known = this.#reports.get(`${peer} ${track}`) ?? this.#reports.get(`${peer} `);
    if (!known) return null;
    const { at, ...report } = known;
    const isRepeated = report.level === 0 && report.reason === 'sender';
    return isRepeated && performance.now() - at > REPEATED_MS ? null : report;
  }

  /** Another server, or another connection to it, begins anew. */
  clear() {
    this.#reports.clear();
  }
}
