import { h, setText } from '../../base/dom.js';
import { iconButton } from '../../widgets/buttons.js';
import { t } from '../../base/i18n.js';

/** The buttons that turn the pages of tiles. */
export class Pager {
  #label = h('span', { role: 'status' });
  #previous = iconButton('previous', 'pager.previous', () => this.#turn(-1), 'round small');
  #next = iconButton('next', 'pager.next', () => this.#turn(1), 'round small');
  element = h('nav', { class: 'pager', 'aria-label': t('pager.label'), hidden: true }, this.#previous, this.#label, this.#next);
  #changed;
  #pages = 1;
  /** The page that is shown, from 0. */
  page = 0;

  /** @param {() => void} changed another page was selected */
  constructor(changed) {
    this.#changed = changed;
  }

  /** @param {number} pages how many there are */
  set pages(pages) {
    this.#pages = pages;
    this.page = Math.min(this.page, pages - 1);
    this.element.hidden = pages < 2;
    setText(this.#label, t('pager.page', { page: this.page + 1, pages }));
    this.#previous.disabled = this.page === 0;
    this.#next.disabled = this.page === pages - 1;
  }

  /** @param {number} by */
  #turn(by) {
    this.page = Math.max(0, Math.min(this.#pages - 1, this.page + by));
    this.#changed();
  }
}
