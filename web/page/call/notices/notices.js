import { h } from '../../base/dom.js';
import { observeSize } from '../../widgets/size-observer.js';
import { Steady } from '../../widgets/steady.js';

/**
 * The notices below the stage: knocks, lasting notices and toasts. They cover nothing, and a new notice does not move
 * earlier ones.
 */
export class Notices {
  #list = h('div', { class: 'notices' });
  element;
  #steady;

  /**
   * @param {HTMLElement} knocks
   * @param {import('./toasts.js').Toasts} toasts
   */
  constructor(knocks, toasts) {
    this.element = h('div', { class: 'below-stage' }, knocks, this.#list, toasts.element);
    this.#steady = new Steady(this.element);
    // On a narrow window a panel lies over the stage, and must end above this.
    observeSize(this.element, () => {
      this.element.closest('main')?.style.setProperty('--below-stage', `${this.element.offsetHeight}px`);
    });
  }

  /** @param {...HTMLElement} notices from the top */
  add(...notices) {
    this.#list.append(...notices);
  }

  /** A notice was added, removed or changed. */
  moved() {
    this.#steady.moved();
  }
}
