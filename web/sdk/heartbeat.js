/** The longest wait for the answer to a probe, in milliseconds; shorter if earlier answers were quick. */
const PROBE_MS = 1000;
const LEAST_PROBE_MS = 400;

/** Sends a ping as often as the server requires, and detects a silent server. */
export class Heartbeat {
  #say;
  #silent;
  #alive;
  #everyMs = 15_000;
  #heardAt = 0;
  /** @type {number | null} */
  #roundTripMs = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #interval;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #probe;

  /**
   * @param {() => void} say sends a ping
   * @param {() => void} silent nothing has arrived for too long
   * @param {() => void} alive a probe was answered
   */
  constructor(say, silent, alive) {
    this.#say = say;
    this.#silent = silent;
    this.#alive = alive;
  }

  /** @param {number} everyMs */
  start(everyMs) {
    this.stop();
    this.#everyMs = everyMs;
    this.heard();
    // The answer measures the round trip.
    this.#say();
    this.#interval = setInterval(() => {
      if (performance.now() - this.#heardAt > 2 * this.#everyMs) this.#silent();
      else this.#say();
    }, everyMs / 2);
  }

  heard() {
    this.#heardAt = performance.now();
    if (this.#probe === undefined) return;
    this.#settle();
    this.#alive();
  }

  /** Records the round trip of a ping. @param {number} roundTripMs */
  measured(roundTripMs) {
    this.#roundTripMs = roundTripMs;
  }

  /** Sends a probe, whose answer must come quickly. Only one probe is in flight. */
  probe() {
    if (this.#probe !== undefined) return;
    this.#say();
    const deadlineMs = this.#roundTripMs === null ? PROBE_MS : Math.max(LEAST_PROBE_MS, 8 * this.#roundTripMs);
    this.#probe = setTimeout(() => this.#silent(), Math.min(PROBE_MS, deadlineMs));
  }

  stop() {
    clearInterval(this.#interval);
    this.#settle();
  }

  #settle() {
    clearTimeout(this.#probe);
    this.#probe = undefined;
  }
}
