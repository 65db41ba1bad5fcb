import { h } from './dom.js';

const SHOWN_MS = 5000;
const AT_MOST = 4;

/** Short notices that go by, said by screen readers too. */
export class Toasts {
  element = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });

  /** @param {string} text */
  show(text) {
    const toast = h('p', { class: 'toast', dir: 'auto' }, text);
    this.element.append(toast);
    while (this.element.children.length > AT_MOST) this.element.firstElementChild?.remove();
    setTimeout(() => toast.remove(), SHOWN_MS);
  }
}
