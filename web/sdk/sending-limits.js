/**
 * What keeps the pictures that a client sends small: its network or, between two peers, the path to the other; its
 * processor; or its user, who saves data.
 *
 * @typedef {'network' | 'device' | 'saving'} SendingLimit
 * @typedef {{camera?: SendingLimit, screen?: SendingLimit}} Limits
 *
 * @typedef {object} SendingLimitsOptions
 * @property {() => Map<string, RTCPeerConnection>} connections by peer, or `publish` and `subscribe`
 * @property {() => {camera: MediaStreamTrack | null, screen: MediaStreamTrack | null}} tracks that are sent
 * @property {() => boolean} saves whether only small pictures are to be sent
 * @property {(topic: string, data: Limits, to?: string) => void} send
 */

/** The topic of the `app` messages by which clients tell each other. */
const TOPIC = 'visavis.sending';
const EVERY_MS = 1000;
/** A limit is told, or told to be over, once it has lasted for this time in milliseconds. */
const LASTS_MS = 3000;
/** @type {SendingLimit[]} */
const KNOWN = ['network', 'device', 'saving'];
/** @type {Record<string, SendingLimit>} by the browser's `qualityLimitationReason` */
const LIMITS = { bandwidth: 'network', cpu: 'device' };

/**
 * Tells the other peers what limits the pictures that this client sends, which neither they nor the media server can
 * see, and knows what they have told.
 */
export class SendingLimits {
  #options;
  /** @type {Map<string, Limits>} by peer */
  #heard = new Map();
  /** @type {Map<string, string>} what was told, by connection */
  #told = new Map();
  /** @type {Map<string, {limits: string, since: number}>} what lasts, by connection */
  #lasting = new Map();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {SendingLimitsOptions} options */
  constructor(options) {
    this.#options = options;
  }

  start() {
    this.stop();
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.clear();
  }

  /** Media takes another path: what was said about the former one is void, here and at the other peers. */
  clear() {
    this.#heard.clear();
    this.#told.clear();
    this.#lasting.clear();
  }

  /** @param {import('./protocol.js').Message<'app'>} message */
  heard({ from, topic, data }) {
    if (topic === TOPIC) this.#heard.set(from, { camera: known(data?.camera), screen: known(data?.screen) });
  }

  /** Tells a newcomer. @param {string} id */
  joined(id) {
    const limits = this.#told.get('publish');
    if (limits && limits !== '{}') this.#options.send(TOPIC, JSON.parse(limits), id);
  }

  /** @param {string} id */
  left(id) {
    for (const map of [this.#heard, this.#told, this.#lasting]) map.delete(id);
  }

  /**
   * What a peer has said.
   *
   * @param {string} id
   * @param {'camera' | 'screen'} source
   */
  of(id, source) {
    return this.#heard.get(id)?.[source] ?? null;
  }

  async #look() {
    const now = performance.now();
    await Promise.all([...this.#options.connections()].map(async ([key, connection]) => {
      if (key === 'subscribe') return;
      const limits = JSON.stringify(await this.#limitsOf(connection).catch(() => ({})));
      // A path that was closed meanwhile has nothing to tell.
      if (this.#options.connections().get(key) !== connection) return;
      const lasting = this.#lasting.get(key);
      if (lasting?.limits !== limits) return void this.#lasting.set(key, { limits, since: now });
      if (now - lasting.since < LASTS_MS || limits === (this.#told.get(key) ?? '{}')) return;
      this.#told.set(key, limits);
      this.#options.send(TOPIC, JSON.parse(limits), key === 'publish' ? undefined : key);
    }));
  }

  /** @param {RTCPeerConnection} connection @returns {Promise<Limits>} */
  async #limitsOf(connection) {
    const { camera, screen } = this.#options.tracks();
    const reports = await connection.getStats();
    const measured = { camera: limitOf(reports, camera), screen: limitOf(reports, screen) };
    return camera && this.#options.saves() ? { ...measured, camera: 'saving' } : measured;
  }
}

/** @param {unknown} limit @returns {SendingLimit | undefined} */
function known(limit) {
  return KNOWN.find((one) => one === limit);
}

/**
 * @param {RTCStatsReport} reports
 * @param {MediaStreamTrack | null} track
 * @returns {SendingLimit | undefined}
 */
function limitOf(reports, track) {
  if (!track) return undefined;
  const sent = [...reports.values()].filter(({ type, kind, active = true }) => type === 'outbound-rtp' && kind === 'video' && active);
  const layers = sent.filter(({ mediaSourceId }) => reports.get(mediaSourceId)?.trackIdentifier === track.id);
  return layers.map(({ qualityLimitationReason }) => LIMITS[qualityLimitationReason]).find((limit) => limit);
}
