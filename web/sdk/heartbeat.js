/** For so long the answer to a probe is waited for. */
const PROBE_MS = 1000;

/** Says something as often as the server wants, and notices when the server has gone silent. */
export class Heartbeat {
  #say;
  #silent;
  #everyMs = 15_000;
  #heardAt = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #interval;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #probe;

  /**
   * @param {() => void} say sends a ping
   * @param {() => void} silent the other side has said nothing for too long
   */
  constructor(say, silent) {
    this.#say = say;
    this.#silent = silent;
  }

  /** @param {number} everyMs */
  start(everyMs) {
    this.stop();
    this.#everyMs = everyMs;
    this.heard();
    this.#interval = setInterval(() => {
      if (performance.now() - this.#heardAt > 2 * this.#everyMs) this.#silent();
      else this.#say();
    }, everyMs / 2);
  }

  heard() {
    this.#heardAt = performance.now();
    this.#settle();
  }

  /** Asks whether the connection still stands, and does not wait long for the answer. One question at a time. */
  probe() {
    if (this.#probe !== undefined) return;
    this.#say();
    this.#probe = setTimeout(() => this.#silent(), PROBE_MS);
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
