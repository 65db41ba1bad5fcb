/** Sound that arrived longer ago says nothing of who speaks now. */
const STALE_MS = 500;

/**
 * When the newest sound of a receiver arrived. A browser goes on telling the level of the last packet for ten seconds.
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
    // Browsers count these timestamps from different moments: what can be trusted is that they move on.
    if (known?.timestamp === timestamp) return now - known.seenAt > STALE_MS ? 0 : audioLevel;
    this.#seen.set(receiver, { timestamp, seenAt: now });
    return audioLevel;
  }
}
