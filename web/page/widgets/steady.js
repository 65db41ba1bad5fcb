/** A second click of a double click comes within this time. */
const SETTLE_MS = 500;

/**
 * Ignores clicks on controls that have just moved under a resting pointer. After a change, clicks count again once the
 * pointer has moved, or has rested there for a moment. The keyboard is not affected.
 */
export class Steady {
  #movedAt = -Infinity;
  /** The position of the pointer. */
  #x = -1;
  #y = -1;
  /** Its position when controls moved under it. @type {{x: number, y: number} | null} */
  #rest = null;

  /** @param {HTMLElement} element whose controls may move */
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

  /** Controls in the element have moved. */
  moved() {
    this.#movedAt = performance.now();
    this.#rest = { x: this.#x, y: this.#y };
  }
}
