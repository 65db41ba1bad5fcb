/** A token bucket for sending, so that the server's own limit is rarely reached. */
export class Pace {
  #burst;
  #perSecond;
  #now;
  #tokens;
  #at;

  /**
   * @param {object} options
   * @param {number} options.burst the most sent at once
   * @param {number} options.perSecond the sustained rate
   * @param {() => number} options.now milliseconds on a clock that only goes forward
   */
  constructor({ burst, perSecond, now }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = burst;
    this.#at = now();
  }

  /** The time until the next token, in milliseconds. */
  get waitMs() {
    this.#refill();
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) / this.#perSecond) * 1000;
  }

  /** Takes a token; the bucket may go below zero. */
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
