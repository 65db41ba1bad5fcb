/** STUN and TURN servers, whose credentials are renewed before they expire. */
export class IceServers {
  /** @type {RTCIceServer[]} */
  list = [];
  /** Those for connections to other peers. @type {RTCIceServer[]} */
  forPeers = [];
  #fetch;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {() => Promise<{iceServers: RTCIceServer[], peerIceServers?: RTCIceServer[], ttlSeconds: number} | null>} fetch requests new ones from the server */
  constructor(fetch) {
    this.#fetch = fetch;
  }

  /**
   * @param {RTCIceServer[]} list
   * @param {RTCIceServer[] | undefined} forPeers those for connections to other peers, where they differ
   * @param {number | undefined} ttlSeconds lifetime of the credentials
   */
  set(list, forPeers = list, ttlSeconds) {
    this.list = list;
    this.forPeers = forPeers;
    clearTimeout(this.#timer);
    // A timer takes no more than 31 bits of milliseconds.
    if (ttlSeconds && forPeers.length > 0) this.#timer = setTimeout(() => void this.#renew(), Math.min(ttlSeconds * 750, 2 ** 31 - 1));
  }

  close() {
    clearTimeout(this.#timer);
  }

  async #renew() {
    const renewed = await this.#fetch().catch(() => null);
    if (renewed) this.set(renewed.iceServers, renewed.peerIceServers, renewed.ttlSeconds);
    // Without a connection to the server, the welcome to the next resume brings them.
  }
}
