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
    clearTimeout(this.#probe);
  }

  /** Asks whether the connection still stands, and does not wait long for the answer. */
  probe() {
    this.#say();
    clearTimeout(this.#probe);
    this.#probe = setTimeout(() => this.#silent(), Math.min(5000, this.#everyMs));
  }

  stop() {
    clearInterval(this.#interval);
    clearTimeout(this.#probe);
  }
}
