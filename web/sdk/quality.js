/**
 * @typedef {object} Figures of the media from one peer or over one connection
 * @property {number} packets received since the last measurement
 * @property {number} lost
 * @property {number} bits
 * @property {number} frames decoded
 * @property {number} width
 * @property {number} height
 * @property {number} roundTripMs
 * @property {number} jitterMs
 * @property {string} codec
 *
 * @typedef {'none' | 0 | 1 | 2 | 3} Level from no media to good quality
 * @typedef {Figures & {level: Level, bitrate: number, fps: number, loss: number}} Quality
 */

/** A peer that should send, and of which nothing has arrived for this time in milliseconds, has no connection. */
const SILENT_MS = 2_000;
/** Peers that share a connection share one report. */
const FRESH_MS = 100;

/** Rates the quality of the media that arrives over peer connections. */
export class QualityWatch {
  /** @type {Map<string, {at: number, figures: Figures, heardAt: number | null, onSince: number | null}>} */
  #before = new Map();
  /** @type {WeakMap<RTCPeerConnection, {at: number, reports: Promise<RTCStatsReport>}>} */
  #reports = new WeakMap();

  /**
   * @param {string} name of the measured peer or connection
   * @param {RTCPeerConnection} connection
   * @param {MediaStreamTrack[]} [tracks] only these, if the connection carries those of several peers
   * @param {boolean} [isOn] whether something should arrive
   * @returns {Promise<Quality | null>} null at the first measurement, and before the connection is established
   */
  async look(name, connection, tracks, isOn = false) {
    const figures = count(await this.#report(connection), tracks?.map(({ id }) => id));
    const at = performance.now();
    const before = this.#before.get(name);
    // A track that has ended no longer counts, so the sum may fall.
    const heard = figures.packets > 0 && figures.packets !== before?.figures.packets;
    const heardAt = heard ? at : (before?.heardAt ?? null);
    const onSince = isOn ? (before?.onSince ?? at) : null;
    this.#before.set(name, { at, figures, heardAt, onSince });
    if (!before) return null;
    const isSilent = heardAt !== null && onSince !== null && at - Math.max(heardAt, onSince) >= SILENT_MS;
    if (!isSilent && !['connected', 'completed'].includes(connection.iceConnectionState)) return null;
    const seconds = (at - before.at) / 1000;
    const packets = Math.max(0, figures.packets - before.figures.packets);
    const lost = Math.max(0, figures.lost - before.figures.lost);
    const loss = packets + lost === 0 ? 0 : lost / (packets + lost);
    const bitrate = Math.max(0, figures.bits - before.figures.bits) / seconds;
    const fps = Math.max(0, figures.frames - before.figures.frames) / seconds;
    const level = isSilent ? 'none' : levelOf(loss, figures.roundTripMs, figures.jitterMs);
    return { ...figures, loss, bitrate, fps, level };
  }

  /** @param {RTCPeerConnection} connection */
  #report(connection) {
    const at = performance.now();
    const known = this.#reports.get(connection);
    if (known && at - known.at < FRESH_MS) return known.reports;
    const reports = connection.getStats();
    this.#reports.set(connection, { at, reports });
    return reports;
  }

  /** @param {string} name */
  forget(name) {
    this.#before.delete(name);
  }
}

/**
 * @param {number} loss share of packets
 * @param {number} roundTripMs
 * @param {number} jitterMs
 * @returns {Level}
 */
function levelOf(loss, roundTripMs, jitterMs) {
  if (loss > 0.12 || roundTripMs > 800) return 0;
  if (loss > 0.05 || roundTripMs > 400 || jitterMs > 100) return 1;
  if (loss > 0.015 || roundTripMs > 200 || jitterMs > 40) return 2;
  return 3;
}

/**
 * @param {RTCStatsReport} reports
 * @param {string[]} [trackIds]
 * @returns {Figures}
 */
function count(reports, trackIds) {
  /** @type {Figures} */
  const figures = { packets: 0, lost: 0, bits: 0, frames: 0, width: 0, height: 0, roundTripMs: 0, jitterMs: 0, codec: '' };
  for (const report of reports.values()) {
    if (report.type === 'candidate-pair' && report.nominated && report.state === 'succeeded') {
      figures.roundTripMs = (report.currentRoundTripTime ?? 0) * 1000;
    }
    if (report.type !== 'inbound-rtp' || (trackIds && !trackIds.includes(report.trackIdentifier))) continue;
    figures.packets += report.packetsReceived ?? 0;
    figures.lost += report.packetsLost ?? 0;
    figures.bits += 8 * (report.bytesReceived ?? 0);
    figures.jitterMs = Math.max(figures.jitterMs, 1000 * (report.jitter ?? 0));
    if (report.kind !== 'video') continue;
    figures.frames += report.framesDecoded ?? 0;
    if ((report.frameWidth ?? 0) >= figures.width) {
      figures.width = report.frameWidth ?? 0;
      figures.height = report.frameHeight ?? 0;
      figures.codec = reports.get(report.codecId)?.mimeType?.replace('video/', '') ?? '';
    }
  }
  return figures;
}
