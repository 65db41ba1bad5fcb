/** Waits between attempts to reconnect: they double up to a limit, with jitter so that a crowd does not return at once. */
export class Backoff {
  #attempt = 0;
  #firstMs;
  #limitMs;

  /**
   * @param {number} [firstMs] the first wait at most, in milliseconds
   * @param {number} [limitMs] no wait is longer, in milliseconds
   */
  constructor(firstMs = 250, limitMs = 5000) {
    this.#firstMs = firstMs;
    this.#limitMs = limitMs;
  }

  /** The number of waits since the last success. */
  get attempts() {
    return this.#attempt;
  }

  /** @returns {number} the next wait in milliseconds */
  next() {
    const ceiling = Math.min(this.#limitMs, this.#firstMs * 2 ** this.#attempt);
    this.#attempt += 1;
    return ceiling / 2 + (Math.random() * ceiling) / 2;
  }

  /** A connection was established: the next failure starts with a short wait again. */
  reset() {
    this.#attempt = 0;
  }
}
