/**
 * Keeps the browser's way back from ending a call: it closes what is open first, and asks before it leaves.
 *
 * The guard puts an entry of the same address into the history, so that a step back stays on the page.
 */
export class BackGuard {
  #close;
  #ask;
  #popped = () => void this.#back();

  /**
   * @param {object} options
   * @param {() => boolean} options.close closes the uppermost panel, dialog or picker; whether there was one
   * @param {() => Promise<void>} options.ask asks whether to leave, and leaves
   */
  constructor({ close, ask }) {
    this.#close = close;
    this.#ask = ask;
    addEventListener('popstate', this.#popped);
    arm();
  }

  /** The call is over: the way back is the browser's again. */
  release() {
    removeEventListener('popstate', this.#popped);
    if (history.state?.guard) history.back();
  }

  async #back() {
    arm();
    if (!this.#close()) await this.#ask();
  }
}

/** A page that was loaded again finds the entry of before. */
function arm() {
  if (!history.state?.guard) history.pushState({ guard: true }, '');
}
