import { h } from '../base/dom.js';
import { iconButton } from '../widgets/buttons.js';
import { t } from '../base/i18n.js';

const EMOJI = ['👍', '👏', '❤️', '😂', '😮', '🎉'];

/** A button that opens a row of emoji to send to all. */
export class ReactionButton {
  element;
  #menu;
  #button = iconButton('smile', 'dock.react', () => this.#toggle());

  /** @param {import('../../sdk/index.js').Call} call */
  constructor(call) {
    const choice = (/** @type {string} */ emoji) =>
      h('button', { type: 'button', class: 'emoji', 'aria-label': t('reaction.send', { emoji }), onclick: () => void call.react(emoji).catch(() => {}) }, emoji);
    this.#menu = h('div', { class: 'emoji-row', role: 'group', 'aria-label': t('dock.react'), hidden: true }, ...EMOJI.map(choice));
    this.#button.setAttribute('aria-expanded', 'false');
    this.element = h('span', { class: 'with-menu' }, this.#button, this.#menu);
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.close()) this.#button.focus();
    });
    document.addEventListener('pointerdown', (event) => {
      if (event.target instanceof Node && !this.element.contains(event.target)) this.close();
    });
  }

  /** @returns {boolean} whether the row was open */
  close() {
    const wasOpen = !this.#menu.hidden;
    if (wasOpen) this.#toggle();
    return wasOpen;
  }

  #toggle() {
    this.#menu.hidden = !this.#menu.hidden;
    this.#button.setAttribute('aria-expanded', String(!this.#menu.hidden));
    if (!this.#menu.hidden) /** @type {HTMLElement | null} */ (this.#menu.firstElementChild)?.focus();
  }
}
