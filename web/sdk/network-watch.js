/** Reports when the network may have changed: it came back, it changed, or the page was suspended and is shown again. */
export class NetworkWatch {
  #changed;
  /** @type {[EventTarget, string][]} */
  #sources = [];
  /** @param {Event} event */
  #listener = ({ type }) => {
    if (type !== 'visibilitychange' || document.visibilityState === 'visible') this.#changed();
  };

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  start() {
    this.stop();
    this.#sources = [[window, 'online'], [window, 'pageshow'], [document, 'visibilitychange']];
    const { connection } = /** @type {any} */ (navigator);
    if (connection instanceof EventTarget) this.#sources.push([connection, 'change']);
    for (const [source, name] of this.#sources) source.addEventListener(name, this.#listener);
  }

  stop() {
    for (const [source, name] of this.#sources) source.removeEventListener(name, this.#listener);
    this.#sources = [];
  }
}
