/**
 * Keeps the browser's Back from ending a call: it first closes whatever is open, and asks before leaving.
 *
 * The guard puts an entry of the same address into the history, so that Back stays on the page.
 */
export class BackGuard {
  #close;
  #ask;
  #popped = () => void this.#back();

  /**
   * @param {object} options
   * @param {() => boolean} options.close closes the uppermost panel, dialog or picker; returns whether there was one
   * @param {() => Promise<void>} options.ask asks whether to leave, and leaves
   */
  constructor({ close, ask }) {
    this.#close = close;
    this.#ask = ask;
    addEventListener('popstate', this.#popped);
    arm();
  }

  /** The call is over: Back has its usual effect again. */
  release() {
    removeEventListener('popstate', this.#popped);
    if (history.state?.guard) history.back();
  }

  async #back() {
    arm();
    if (!this.#close()) await this.#ask();
  }
}

/** A reloaded page finds its earlier entry. */
function arm() {
  if (!history.state?.guard) history.pushState({ guard: true }, '');
}
