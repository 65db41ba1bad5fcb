/** A second click of a double click comes within this time. */
const SETTLE_MS = 500;

/**
 * Keeps a click from landing on what has moved under a pointer that rests: after something moved, a place counts again
 * once the pointer was moved over it, or was aimed at for a moment. The keyboard is never in the way.
 */
export class Steady {
  #movedAt = -Infinity;
  /** Where the pointer is. */
  #x = -1;
  #y = -1;
  /** Where it was when something moved under it. @type {{x: number, y: number} | null} */
  #rest = null;

  /** @param {HTMLElement} element in which things may move */
  constructor(element) {
    for (const type of /** @type {const} */ (['pointermove', 'pointerdown'])) {
      element.addEventListener(type, ({ clientX, clientY }) => {
        this.#x = clientX;
        this.#y = clientY;
        if (type === 'pointermove' && this.#rest && (clientX !== this.#rest.x || clientY !== this.#rest.y)) this.#rest = null;
      }, { capture: true, passive: true });
    }
    element.addEventListener('click', (event) => {
      // A key pressed on a button is a click without a count.
      if (event.detail === 0 || !this.#rest || performance.now() - this.#movedAt > SETTLE_MS) return;
      event.preventDefault();
      event.stopPropagation();
    }, { capture: true });
  }

  /** Something in the element has moved. */
  moved() {
    this.#movedAt = performance.now();
    this.#rest = { x: this.#x, y: this.#y };
  }
}
