import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { logo } from '../widgets/icons.js';
import { at } from '../base/root.js';

const KNOWN = new Set([
  'left', 'kicked', 'replaced', 'session-replaced', 'host-ended', 'expired', 'drained', 'room-ended', 'timeout', 'denied',
]);

/** Reasons after which the user cannot rejoin. */
const FINAL = new Set(['kicked', 'host-ended', 'expired', 'drained', 'room-ended', 'denied']);

/** Reasons for which the connection check is offered. */
const TROUBLE = new Set(['timeout', 'other', 'unreachable']);

/** The screen after the call. */
export class EndScreen {
  element;
  /** Called before the page is loaded again. */
  onagain = () => {};
  #first;
  #again = h('button', { type: 'button', class: 'button', onclick: () => this.#rejoin() }, t('end.again'));

  /**
   * @param {string} reason
   * @param {{recordings?: string | null}} [links] the page of the recordings, for hosts
   */
  constructor(reason, { recordings = null } = {}) {
    const key = KNOWN.has(reason) ? `end.${reason}` : 'end.other';
    const home = h('a', { class: 'button', href: at() }, t('end.home'));
    const trouble = h('p', { class: 'hint' }, h('a', { href: at('check') }, t('check.link')));
    const isFinal = FINAL.has(reason);
    // The primary action is first.
    this.#first = isFinal ? home : this.#again;
    this.#first.classList.add('primary');
    this.element = h('main', { class: 'end' }, logo(),
      h('h1', {}, t(key)),
      h('div', { class: 'actions' }, this.#first,
        recordings && h('a', { class: 'button', href: recordings }, t('end.recordings')),
        !isFinal && home),
      TROUBLE.has(reason) && trouble);
  }

  focus() {
    this.#first.focus();
  }

  #rejoin() {
    this.onagain();
    location.reload();
  }
}
