import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { icon } from '../../widgets/icons.js';

/**
 * @typedef {object} Panel
 * @property {HTMLElement} element
 * @property {string} title
 * @property {() => void} [opened] it was opened
 * @property {() => void} [closed]
 */

/** The column beside the stage, or the sheet over it on a phone, that shows one panel at a time. */
export class SidePanel {
  element;
  /** @type {(open: string | null) => void} */
  onchange = () => {};
  /** @type {(open: string | null) => void} */
  onopen = () => {};
  /** @type {(closed: string) => void} the focus is to go to what opens it */
  onreturn = () => {};
  #title = h('h2', { tabindex: -1 });
  #body = h('div', { class: 'panel-body' });
  /** @type {Map<string, Panel>} */
  #panels = new Map();
  /** @type {string | null} */
  #open = null;
  /** @type {Element | null} where the focus was before */
  #before = null;

  constructor() {
    const close = h('button', { type: 'button', class: 'plain', 'aria-label': t('panel.close'), title: t('panel.close'), onclick: () => this.close() }, icon('close'));
    this.element = h('aside', { class: 'panel', hidden: true }, h('header', { class: 'panel-header' }, this.#title, close), this.#body);
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.close();
    });
  }

  /** @param {string} name @param {Panel} panel */
  add(name, panel) {
    this.#panels.set(name, panel);
  }

  /** @param {string} name */
  toggle(name) {
    if (this.#open === name) this.close();
    else this.open(name);
  }

  /** @param {string} name */
  open(name) {
    const panel = this.#panels.get(name);
    if (!panel) return;
    if (this.#open === null) this.#before = document.activeElement;
    else this.#panels.get(this.#open)?.closed?.();
    this.#open = name;
    this.#title.textContent = panel.title;
    this.element.setAttribute('aria-label', panel.title);
    this.#body.replaceChildren(panel.element);
    this.element.hidden = false;
    // The focus moves into it, for users of the keyboard.
    if (panel.opened) panel.opened();
    else this.#title.focus();
    this.onchange(name);
    this.onopen(name);
  }

  /** @returns {boolean} whether a panel was open */
  close() {
    if (this.#open === null) return false;
    const name = this.#open;
    this.#panels.get(name)?.closed?.();
    this.#open = null;
    this.element.hidden = true;
    this.onchange(null);
    this.onopen(null);
    if (this.#before instanceof HTMLElement && this.#before !== document.body) this.#before.focus();
    else this.onreturn(name);
    return true;
  }
}
