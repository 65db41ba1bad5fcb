/**
 * Runs asynchronous steps one after the other until it is closed. A step that fails is logged, and later ones run all the
 * same.
 */
export class Steps {
  isClosed = false;
  #tail = Promise.resolve();
  #purpose;
  #failed;

  /**
   * @param {string} purpose named in the log
   * @param {() => void} [failed] a step has failed
   */
  constructor(purpose, failed = () => {}) {
    this.#purpose = purpose;
    this.#failed = failed;
  }

  /** @param {() => void | Promise<void>} step */
  add(step) {
    this.#tail = this.#tail.then(() => (this.isClosed ? undefined : step())).catch((error) => {
      if (this.isClosed) return;
      console.warn(`${this.#purpose}:`, error);
      this.#failed();
    });
  }

  close() {
    this.isClosed = true;
  }
}
