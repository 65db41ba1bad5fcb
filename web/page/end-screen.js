import { h } from './dom.js';
import { t } from './i18n.js';
import { logo } from './icons.js';
import { at } from './root.js';

const KNOWN = new Set([
  'left', 'kicked', 'replaced', 'session-replaced', 'host-ended', 'expired', 'drained', 'room-ended', 'timeout', 'denied',
]);

/** After the call. */
export class EndScreen {
  element;
  /** Before the page is loaded again. */
  onagain = () => {};
  #again = h('button', { type: 'button', class: 'button primary', onclick: () => this.#rejoin() }, t('end.again'));

  /**
   * @param {string} reason
   * @param {{recordings?: string | null}} [links] where what was recorded is, for hosts
   */
  constructor(reason, { recordings = null } = {}) {
    const key = KNOWN.has(reason) ? `end.${reason}` : 'end.other';
    this.element = h('main', { class: 'end' }, logo(),
      h('h1', {}, t(key)),
      h('div', { class: 'actions' }, this.#again,
        recordings && h('a', { class: 'button', href: recordings }, t('end.recordings')),
        h('a', { class: 'button', href: at() }, t('end.home'))));
  }

  focus() {
    this.#again.focus();
  }

  #rejoin() {
    this.onagain();
    location.reload();
  }
}
