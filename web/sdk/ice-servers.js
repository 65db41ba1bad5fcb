/** STUN and TURN servers, whose credentials are renewed before they expire. */
export class IceServers {
  /** @type {RTCIceServer[]} */
  list = [];
  #fetch;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {() => Promise<{iceServers: RTCIceServer[], ttlSeconds: number} | null>} fetch requests new ones from the server */
  constructor(fetch) {
    this.#fetch = fetch;
  }

  /**
   * @param {RTCIceServer[]} list
   * @param {number | undefined} ttlSeconds lifetime of the credentials
   */
  set(list, ttlSeconds) {
    this.list = list;
    clearTimeout(this.#timer);
    // A timer takes no more than 31 bits of milliseconds.
    if (ttlSeconds && list.length > 0) this.#timer = setTimeout(() => void this.#renew(), Math.min(ttlSeconds * 750, 2 ** 31 - 1));
  }

  close() {
    clearTimeout(this.#timer);
  }

  async #renew() {
    const renewed = await this.#fetch().catch(() => null);
    if (renewed) this.set(renewed.iceServers, renewed.ttlSeconds);
    // Without a connection to the server, the welcome to the next resume brings them.
  }
}
