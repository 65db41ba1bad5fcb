/** Sound that arrived longer ago, in milliseconds, does not count for the active speaker. */
const STALE_MS = 500;

/**
 * Tracks when the newest sound of a receiver arrived: a browser reports the level of the last packet for ten seconds more.
 */
export class Arrivals {
  /** @type {WeakMap<RTCRtpReceiver, {timestamp: number, seenAt: number}>} */
  #seen = new WeakMap();

  /**
   * How loud the sound is that arrives.
   *
   * @param {RTCRtpReceiver | undefined} receiver
   * @param {number} now in milliseconds
   * @returns {number} 0 to 1; 0 when nothing has arrived of late
   */
  level(receiver, now) {
    const source = receiver?.getSynchronizationSources()[0];
    if (!receiver || !source) return 0;
    const { timestamp, audioLevel = 0 } = source;
    const known = this.#seen.get(receiver);
    // Browsers count these timestamps from different epochs; only their progress can be relied on.
    if (known?.timestamp === timestamp) return now - known.seenAt > STALE_MS ? 0 : audioLevel;
    this.#seen.set(receiver, { timestamp, seenAt: now });
    return audioLevel;
  }
}
