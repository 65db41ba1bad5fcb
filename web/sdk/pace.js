/** A bucket of permissions to send, so that the server's own limit is hardly ever touched. */
export class Pace {
  #burst;
  #perSecond;
  #now;
  #tokens;
  #at;

  /**
   * @param {object} options
   * @param {number} options.burst sent at once at most
   * @param {number} options.perSecond sent in the long run
   * @param {() => number} options.now milliseconds on a clock that only goes forward
   */
  constructor({ burst, perSecond, now }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = burst;
    this.#at = now();
  }

  /** How long to wait for the next permission, in milliseconds. */
  get waitMs() {
    this.#refill();
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) / this.#perSecond) * 1000;
  }

  /** Takes a permission; the bucket may go below zero. */
  take() {
    this.#refill();
    this.#tokens -= 1;
  }

  /** A new session begins with a full bucket, here as at the server. */
  fill() {
    this.#tokens = this.#burst;
    this.#at = this.#now();
  }

  #refill() {
    const now = this.#now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
  }
}
