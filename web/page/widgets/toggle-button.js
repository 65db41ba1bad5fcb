import { h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { icon } from './icons.js';

/** A round button for something that is on or off; its name describes the effect of a press. */
export class ToggleButton {
  element;
  #icons;
  #labels;
  #on = true;

  /**
   * @param {object} options
   * @param {[import('./icons.js').IconName, import('./icons.js').IconName]} options.icons on and off
   * @param {[string, string]} options.labels keys of the texts while on and while off
   * @param {(on: boolean) => void} options.toggle
   */
  constructor({ icons, labels, toggle }) {
    this.#icons = icons;
    this.#labels = labels;
    this.element = h('button', { type: 'button', class: 'round', onclick: () => toggle(!this.#on) });
    this.#render();
  }

  /** @param {boolean} on */
  set(on) {
    if (on === this.#on) return;
    this.#on = on;
    this.#render();
  }

  #render() {
    const label = t(this.#labels[this.#on ? 0 : 1]);
    this.element.setAttribute('aria-label', label);
    this.element.title = label;
    this.element.classList.toggle('off', !this.#on);
    this.element.replaceChildren(icon(this.#icons[this.#on ? 0 : 1]));
  }
}
