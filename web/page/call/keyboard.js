/** In a window lower than this, in pixels, a focused text field gets the whole height. */
const LOW_PX = 340;
/** A change of height above this, in pixels, is an on-screen keyboard; the browser's bars take less. */
const KEYBOARD_PX = 120;

/**
 * Fits a screen into the space above an on-screen keyboard: some browsers reduce the height of the page, others cover it
 * and change only the visual viewport.
 */
export class Keyboard {
  #element;
  #field = false;
  #fit = () => this.#update();
  #focus = (/** @type {FocusEvent} */ { type, target }) => {
    this.#field = type === 'focusin' && isTextField(target);
    this.#update();
  };

  /** @param {HTMLElement} element of the whole window's height */
  constructor(element) {
    this.#element = element;
    element.addEventListener('focusin', this.#focus);
    element.addEventListener('focusout', this.#focus);
    addEventListener('resize', this.#fit);
    window.visualViewport?.addEventListener('resize', this.#fit);
  }

  close() {
    removeEventListener('resize', this.#fit);
    window.visualViewport?.removeEventListener('resize', this.#fit);
  }

  #update() {
    const viewport = window.visualViewport;
    // While the user has zoomed in, the layout stays as it is.
    const covered = viewport && Math.abs(viewport.scale - 1) < 0.01 ? innerHeight - viewport.height : 0;
    const isCovered = covered > KEYBOARD_PX;
    const { style, classList } = this.#element;
    if (isCovered && viewport) style.setProperty('--visible-height', `${Math.floor(viewport.height)}px`);
    else style.removeProperty('--visible-height');
    if (isCovered) scrollTo(0, 0);
    classList.toggle('typing', this.#field && innerHeight - (isCovered ? covered : 0) < LOW_PX);
  }
}

/** @param {EventTarget | null} target */
function isTextField(target) {
  if (target instanceof HTMLTextAreaElement) return true;
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button', 'range'].includes(target.type);
}
