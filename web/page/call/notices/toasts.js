import { h } from '../../base/dom.js';

const SHOWN_MS = 5000;
const AT_MOST = 3;

/**
 * Short notices that disappear, in a place where they cover nothing; screen readers announce them too. A notice that is
 * already shown is not repeated, but stays longer.
 */
export class Toasts {
  element = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });
  /** @type {Map<string, {toast: HTMLElement, timer: ReturnType<typeof setTimeout>}>} by text */
  #shown = new Map();

  /** @param {string} text */
  show(text) {
    const known = this.#shown.get(text);
    clearTimeout(known?.timer);
    const toast = known?.toast ?? h('p', { class: 'toast' }, text);
    if (!known) this.element.append(toast);
    this.#shown.set(text, { toast, timer: setTimeout(() => this.#drop(text), SHOWN_MS) });
    const [oldest] = this.#shown.keys();
    if (this.#shown.size > AT_MOST && oldest !== undefined) this.#drop(oldest);
  }

  /** @param {string} text */
  #drop(text) {
    const known = this.#shown.get(text);
    clearTimeout(known?.timer);
    known?.toast.remove();
    this.#shown.delete(text);
  }
}
