import { h } from './dom.js';
import { t } from './i18n.js';
import { logo } from './icons.js';

const KNOWN = new Set([
  'left', 'kicked', 'replaced', 'session-replaced', 'host-ended', 'expired', 'drained', 'room-ended', 'timeout', 'denied',
]);

/** After the call. */
export class EndScreen {
  element;
  #again = h('button', { type: 'button', class: 'button primary', onclick: () => location.reload() }, t('end.again'));

  /** @param {string} reason */
  constructor(reason) {
    const key = KNOWN.has(reason) ? `end.${reason}` : 'end.other';
    this.element = h('main', { class: 'end' }, logo(),
      h('h1', {}, t(key)),
      h('div', { class: 'actions' }, this.#again, h('a', { class: 'button', href: '/' }, t('end.home'))));
  }

  focus() {
    this.#again.focus();
  }
}
